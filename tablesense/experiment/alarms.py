"""Warnings in plain words when a training goes wrong in one of the ways in which a DETR does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alarm:
    """What is wrong, since when, and what is likely to be its cause.

    Attributes:
        epoch: Counted from 1.
        title: What is seen.
        text: The likely cause, and what to try.
    """

    epoch: int
    title: str
    text: str


class Alarms:
    """Watches the epochs of a training; each alarm goes off once.

    Args:
        warmup: Epochs of warm-up, in which nothing is expected yet.
        score_threshold: The lowest score that counts as a find.
        patience: For how many epochs after the warm-up a sign must hold.
    """

    def __init__(self, warmup: float, score_threshold: float, patience: int = 3) -> None:
        self.warmup, self.threshold, self.patience = warmup, score_threshold, patience
        self.raised: list[Alarm] = []
        self._silent = self._wrong = 0
        self._first_loss: float | None = None

    def watch(self, epoch: int, loss: float, f1: float | None, highest: float, finds: int) -> list[Alarm]:
        """Look at one epoch.

        Args:
            epoch: Counted from 1.
            loss: Mean training loss.
            f1: `val/f1`; None where it is not defined.
            highest: The highest score of any query on any validation page; 0 where none is worth keeping.
            finds: How many scores were at the threshold or over it.

        Returns:
            The alarms that go off now.
        """
        if self._first_loss is None:
            self._first_loss = loss
        if epoch <= self.warmup:
            return []
        self._silent = 0 if finds else self._silent + 1
        found_nothing_right = bool(finds) and not f1 and loss < 0.9 * self._first_loss
        self._wrong = self._wrong + 1 if found_nothing_right else 0
        new = []
        if self._silent == self.patience:
            new.append(self._every_query_says_no_object(epoch, loss, highest))
        if self._wrong == self.patience:
            new.append(self._losses_fall_but_nothing_is_right(epoch, finds))
        known = {alarm.title for alarm in self.raised}
        new = [alarm for alarm in new if alarm.title not in known]
        self.raised += new
        return new

    def _every_query_says_no_object(self, epoch: int, loss: float, highest: float) -> Alarm:
        assert self._first_loss is not None
        if loss < 0.9 * self._first_loss:
            cause = (
                f"The loss falls, and the highest score is {highest:.2f}: it is likely that it needs more "
                "steps. Train for longer, with smaller batches or less accumulation, or start from weights "
                "that know tables (model.detr.pretrained). A higher model.loss.lambda_cls, or a lower "
                "model.loss.iou_power, lifts scores."
            )
        else:
            cause = (
                f"The loss does not fall either (highest score {highest:.2f}): it is likely that the "
                "learning rate is too high or far too low. Try a tenth and ten times training.lr, and look "
                "whether the pages have tables in them."
            )
        return Alarm(epoch, f"every query says no-object: no score reaches {self.threshold:g}", cause)

    def _losses_fall_but_nothing_is_right(self, epoch: int, finds: int) -> Alarm:
        return Alarm(
            epoch,
            "losses fall but val/f1 stays 0",
            f"{finds} finds have a score of {self.threshold:g} or more, and none fits a table: it is likely "
            "that the boxes of the validation pages mean something else than those of the training pages "
            "(another frame, another size, xywh for xyxy, another class). Look at the pictures of the "
            "report; if the boxes are merely loose, raise model.loss.lambda_l1 and lambda_iou, or train for "
            "longer.",
        )
