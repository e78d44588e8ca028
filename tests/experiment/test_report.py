"""The report of a run and of several, as a browser shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from written_run import make_run

from tablesense.cli import main
from tablesense.experiment.report import LIMIT, write_report

RECIPE = Path(__file__).parents[2] / "configs" / "detr.yaml"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
with_browser = pytest.mark.skipif(BROWSER is None, reason="install chromium or Chrome to see the page drawn")
CUT_OFF = ["--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"]
HOSTILE = "</script><script>document.title = 'taken'</script>&\"'{{ 7 * 7 }}.jpg"


def browse(page: Path, tmp_path: Path, *options: str) -> str:
    """The page's elements once it has drawn itself; a message in the browser's console is an error."""
    assert BROWSER
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=60000", *options]
    command += ["--enable-logging=stderr", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout


def charts(dom: str) -> int:
    """The number of charts, all of which must be drawn."""
    plots = re.findall(r'<div class="plot( [^"]*)?"', dom)
    assert plots
    assert all("js-plotly-plot" in classes for classes in plots)
    assert dom.count('class="main-svg"') >= len(plots)
    return len(plots)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("runs") / "detr" / "001")
    return write_report([folder], folder / "report.html")


@pytest.fixture(scope="module")
def dom(page: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return browse(page, tmp_path_factory.mktemp("dom"))


@with_browser
def test_every_chart_is_drawn(dom: str) -> None:
    assert charts(dom) == 13
    assert dom.count('class="js-line"') > 12
    assert re.search(r'id="undrawn" hidden', dom)


@with_browser
def test_a_browser_that_is_cut_off_from_everything_draws_the_same(
    page: Path, dom: str, tmp_path: Path
) -> None:
    assert charts(browse(page, tmp_path, *CUT_OFF)) == charts(dom)


def test_nothing_is_asked_of_a_server(page: Path) -> None:
    text = page.read_text()
    for reference in re.findall(r"""(?:\bsrc|\bhref|\baction)\s*=\s*["']?([^"'\s>]+)|url\(([^)]*)\)""", text):
        assert "".join(reference).startswith(("#", "data:image/jpeg;base64,")), reference
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_figures_are_in_words(page: Path) -> None:
    text = " ".join(re.sub("<[^>]+>", " ", page.read_text()).split())
    assert "A Deformable DETR with the backbone resnet18, 4.77 M parameters (4.72 M of them trained)" in text
    assert "trained on 2 pages (mine), validated on 2 others, for 3 epochs on a small computer" in text
    assert "F1 0.500 precision and recall in one" in text
    assert "Best epoch 3" in text
    assert "Time 22 min" in text
    assert "Epoch 2: losses fall. Look at the pictures." in text
    assert "2 tables, 1 find: 1 missed" in text
    assert "no tables, 1 find: 1 false on an empty page" in text
    assert "Left out or changed: 12 crowd boxes." in text
    assert "Not logged, so not drawn: GIoU loss; Classification against L1; IoU of" in text


def test_the_home_folder_is_nobodys_business(page: Path) -> None:
    text = page.read_text()
    assert str(Path.home()) not in text
    assert "~/pages" in text


@with_browser
def test_what_a_person_does_with_the_pages_and_the_charts(page: Path, tmp_path: Path) -> None:
    script = """<script>
    const settled = setInterval(() => {
      if ([...document.querySelectorAll(".plot")].some((plot) => !plot.data)) return;
      clearInterval(settled);
      const boxes = [...document.querySelectorAll("g.truth, g.find")];
      const count = () => boxes.filter((box) => getComputedStyle(box).display !== "none").length;
      const steps = [count()];
      const slider = document.getElementById("score");
      for (const score of [0.8, 0.1]) {
        slider.value = score;
        slider.dispatchEvent(new Event("input"));
        steps.push(count());
      }
      document.getElementById("show-truth").click();
      steps.push(count());
      document.querySelector(".page button").click();
      steps.push(document.querySelector("dialog[open] svg").getBoundingClientRect().height > 300);
      const key = document.querySelector(".keys button");
      key.click();
      const { data } = key.closest(".chart").querySelector(".plot");
      steps.push(data.filter((line) => line.visible === false).length);
      document.title = steps.join(" ");
    }, 100);
    </script>"""
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", script + "</body>"))
    # Two tables and two finds that count; one find; all three finds; no tables; a large page; a line.
    assert "<title>4 3 5 3 true 1</title>" in browse(copy, tmp_path)


@with_browser
def test_names_are_never_taken_for_the_pages_own_code(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs" / "<b>bold" / "001", name=HOSTILE, schedule=HOSTILE)
    for file in "run.json", "data.json":
        content = (folder / file).read_text().replace('"mine"', json.dumps(HOSTILE))
        (folder / file).write_text(content.replace('"losses fall"', json.dumps(HOSTILE)))
    other = make_run(tmp_path / "runs" / HOSTILE.replace("/", "|") / "001")
    for runs in [folder], [folder, other]:
        page = write_report(runs, tmp_path / "page.html")
        assert HOSTILE not in page.read_text()
        assert "<b>bold" not in page.read_text()
        dom = browse(page, tmp_path)
        assert "<title>taken" not in dom
        assert "{{ 7 * 7 }}.jpg" in dom
        charts(dom)


def test_a_usual_run_is_under_five_megabytes(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs" / "detr" / "001")
    truth = json.loads((folder / "evaluation" / "truth.json").read_text())
    for i in range(2, 30):  # noise is the worst there is for JPEG
        truth["images"].append(
            {"id": i, "file_name": f"{i}.jpg", "width": 510, "height": 720, "fixed": i < 12}
            | {"picture": f"pages/{i}.jpg"}
        )
        Image.frombytes("RGB", (510, 720), os.urandom(510 * 720 * 3)).save(
            folder / "evaluation" / "pages" / f"{i}.jpg"
        )
    (folder / "evaluation" / "truth.json").write_text(json.dumps(truth))
    page = write_report([folder], tmp_path / "page.html")
    assert 2_500_000 < page.stat().st_size < LIMIT
    uses = re.findall(r'<use href="(#picture-\d+)"', page.read_text())
    assert len(uses) == 12
    assert all(f'id="{use[1:]}"' in page.read_text() for use in uses)


@pytest.mark.parametrize(
    ("file", "note"),
    [
        ("run.json", "Command, machine and versions: not recorded. There is no run.json"),
        ("config.yaml", "The configuration: not recorded. There is no config.yaml"),
        ("metrics.csv", "How the training went: not recorded. There is no metrics.csv"),
        ("data.json", "What the pages are like: not recorded. There is no data.json"),
        ("architecture.txt", "The network's layers: not recorded. There is no architecture.txt"),
        ("evaluation/truth.json", "What was found on the validation pages: not recorded."),
        ("evaluation/info.json", ""),
        ("evaluation/pages/0.jpg", ""),
    ],
)
def test_a_file_that_is_missing_takes_only_its_section_along(tmp_path: Path, file: str, note: str) -> None:
    folder = make_run(tmp_path / "runs" / "detr" / "001")
    (folder / file).unlink()
    text = write_report([folder], tmp_path / "page.html").read_text().replace("&#39;", "'")
    assert note in text
    assert text.count("not recorded") == text.count("or this was switched off") == bool(note)


@with_browser
@pytest.mark.parametrize("epochs", [0, 1])
def test_configuration_and_metrics_are_enough(tmp_path: Path, epochs: int) -> None:
    whole = make_run(tmp_path / "runs" / "detr" / "001", epochs)
    bare = tmp_path / "runs" / "detr" / "002"
    bare.mkdir()
    for file in "config.yaml", "metrics.csv":
        shutil.copy(whole / file, bare)
    page = write_report([bare], bare / "report.html")
    if epochs:
        charts(browse(page, tmp_path))
    else:
        assert "No epoch has been validated yet" in page.read_text()
        browse(page, tmp_path)


@with_browser
def test_runs_are_compared(tmp_path: Path) -> None:
    first = make_run(tmp_path / "runs" / "detr" / "001")
    second = make_run(tmp_path / "runs" / "detr" / "002", epochs=2, lr=3e-4)
    page = write_report([first, second, first], tmp_path / "page.html")
    text = page.read_text()
    assert "Comparison of 2 runs" in text
    assert "<code>training.lr</code></th><td><code>0.0001</code></td><td><code>0.0003</code></td>" in text
    assert text.count('<use href="#picture-0"') == 4  # the same picture, kept once
    assert len(re.findall('<image id="picture-', text)) == 1
    dom = browse(page, tmp_path)
    assert charts(dom) > 10
    for colour in "rgb(47, 126, 216)", "rgb(228, 105, 42)":
        assert f"stroke: {colour}" in dom


def test_runs_with_other_pages_are_said_not_to_be_comparable(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "runs" / "detr" / f"00{i}", name=f"{i}.jpg") for i in (1, 2)]
    assert "validated on different pages" in write_report(runs, tmp_path / "page.html").read_text()


def test_the_command_says_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in 1, 2:
        make_run(Path("runs", "detr", f"00{i}"))
    assert main(["report", "runs/detr/001"]) == 0
    assert main(["report", "runs/detr/001", "runs/detr/002"]) == 0
    assert main(["report", "runs/detr/001", "--output", "mine.html"]) == 0
    said = re.findall(r"report: (\S+) \(\d\.\d MB\)\n", capsys.readouterr().out)
    assert said == ["runs/detr/001/report.html", "comparison.html", "mine.html"]
    assert all(Path(file).is_file() for file in said)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: expected the folder of a run, such as runs/detr/001, found no such folder"),
        (["."], "found none of run.json, config.yaml, metrics.csv in it"),
        ([], "report: the following arguments are required: RUN_DIR; see tablesense report --help"),
        (["run", "--output", "no/such/page.html"], "no/such/page.html cannot be written: No such file"),
        (["run", "--output", "run"], "run cannot be written: Is a directory"),
    ],
)
def test_a_mistake_gets_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    make_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tablesense: ")
    assert message in line


def test_help_explains_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tablesense.cli import main\n"
        "try: main(['report', '--help'])\n"
        "finally: print([name for name in ('torch', 'plotly', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "tablesense report runs/detr/001 runs/detr/002" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_real_training_has_its_report(tmp_path: Path) -> None:
    sizes = ["--data.image_size=96", "--data.synthetic.pages=8", "--data.synthetic.val_pages=4"]
    options = ["--data.batch_size=2", "--data.num_workers=0", "--model.detr.hidden_dim=64"]
    options += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    command = [sys.executable, "-m", "tablesense", "fit", "--config", RECIPE, *sizes, *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--logging.wandb=off"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = tmp_path / "runs" / "detr" / "001" / "report.html"
    text = page.read_text()
    assert "not recorded" not in text
    assert '<span class="state finished">' in text
    missing = re.search(r"Not logged, so not drawn: (.*)\.</p>", text)
    assert missing is None, missing
    if BROWSER:
        assert charts(browse(page, tmp_path)) > 15
