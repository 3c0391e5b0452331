"""Sums up the reports of one run: JUnit XML (CTest, pytest) and lines "ok NAME" / "not ok NAME".

    summary.py DIRECTORY

Prints what failed and "N passed, N failed"; exits with 1 when anything failed or nothing ran."""

import pathlib
import sys
import xml.etree.ElementTree

BAD = ("failure", "error")


def junit_cases(path):
    """(name, passed) for each case; a skipped one did not pass."""
    try:
        cases = xml.etree.ElementTree.parse(path).iter("testcase")
    except xml.etree.ElementTree.ParseError as error:
        yield f"{path.name}: {error}", False
        return
    for case in cases:
        name = f"{path.stem}: {case.get('classname', '')} {case.get('name')}"
        is_bad = any(case.find(tag) is not None for tag in (*BAD, "skipped"))
        yield name, not is_bad and case.get("status") not in ("fail", "notrun", "disabled")


def line_cases(path):
    for line in path.read_text().splitlines():
        verdict, _, name = line.rpartition("ok ")
        if line.startswith(("ok ", "not ok ")):
            yield f"{path.stem}: {name}", verdict == ""


def main(directory):
    directory = pathlib.Path(directory)
    cases = [case for path in sorted(directory.glob("*.xml")) for case in junit_cases(path)]
    cases += [case for path in sorted(directory.glob("*.tap")) for case in line_cases(path)]
    failed = [name for name, passed in cases if not passed]
    print()
    for name in failed:
        print(f"failed: {name}")
    print(f"{len(cases) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
