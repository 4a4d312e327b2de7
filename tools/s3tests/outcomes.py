"""pytest plugin: hold the outcomes against expected.toml, so that the run fails for a regression and for nothing else."""
import pathlib, tomllib
EXPECTED = set(tomllib.loads(pathlib.Path(__file__).with_name('expected.toml').read_text(encoding='utf-8')))
failed, passed = set(), set()
def pytest_runtest_logreport(report):
    name = report.nodeid.partition('::')[2]
    if report.failed: failed.add(name)
    elif report.when == 'call' and report.passed: passed.add(name)
def pytest_sessionfinish(session, exitstatus):
    if exitstatus in (0, 1): session.exitstatus = int(bool(failed - EXPECTED or EXPECTED & passed - failed))
def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f'{len(failed & EXPECTED)} failed as expected.toml says')
    for name in sorted(failed - EXPECTED): terminalreporter.write_line(f'REGRESSION {name}')
    for name in sorted(EXPECTED & passed - failed): terminalreporter.write_line(f'PASSES NOW, remove it from expected.toml: {name}')
