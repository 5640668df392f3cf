"""The log: a defect is a line with its traceback, and so is what other packages say."""

import json
import logging
import subprocess
import sys

from cic.serve import log, problems


def test_a_defect_is_a_line_with_its_traceback(capfd):
    assert problems.failure(ZeroDivisionError("a\nb")).status == 500
    [line] = capfd.readouterr().err.splitlines()
    said = json.loads(line)
    assert said["level"] == "ERROR"
    assert said["message"] == r"ZeroDivisionError('a\nb')"
    assert said["traceback"].startswith("ZeroDivisionError")


def test_a_record_keeps_its_traceback(capfd):
    try:
        raise KeyError("x")
    except KeyError as error:
        record = logging.LogRecord(
            "a", logging.ERROR, "", 1, "%s!", ("no",), (KeyError, error, None)
        )
        log.Handler().emit(record)
    said = json.loads(capfd.readouterr().err)
    assert (said["logger"], said["level"], said["message"]) == ("a", "ERROR", "no!")
    assert "KeyError: 'x'" in said["traceback"]


def test_a_process_that_installs_it_logs_and_warns_in_json():
    code = (
        "import logging, warnings; from cic.serve import log; log.install(); "
        "logging.getLogger('b').info('quiet'); logging.getLogger('b').warning('%d', 1); "
        "warnings.warn('old')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(json.loads, done.stderr.splitlines())
    assert (first["logger"], first["message"]) == ("b", "1")
    assert second["logger"] == "py.warnings"
    assert "old" in second["message"]
