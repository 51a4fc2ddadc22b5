"""Whatever bytes a file holds, it is read or refused, and no secret in it comes out again."""

from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.fleet.importing import env_file
from api.fleet.importing.candidates import Gathering
from api.fleet.importing.plan import Known, Planner
from api.fleet.importing.report import Report

SECRET = "s3cr3t-c4n4ry"
BESIDE = ("API_KEY", "TOKEN", "PASSWORD", "USERNAME", "API_KEY_HEADER", "PRIORITY", "MAX_CONCURRENT", "MODEL", "X")
NUMBERS = st.sampled_from(["", "_1", "_2"])
PLACES = ("http://u:{}@gpu-1", "http://{}@gpu-1:1", "http://u:/{}@gpu-1", "http://gpu-1?k={}", "u:{}", "${{{}}}", "[{}")

junk = st.binary(max_size=30)
text = st.text(max_size=20).map(lambda one: one.encode(errors="surrogatepass"))
addresses = st.tuples(NUMBERS, st.sampled_from(["gpu-1", "gpu-2:1", "http://0.0.0.0", "http://u:p@gpu-1"])).map(
    lambda one: f"OLLAMA_HOST{one[0]}={one[1]}".encode()
)
secrets = st.tuples(st.sampled_from(BESIDE), NUMBERS, st.sampled_from(["", "'", '"', "${", " "])).map(
    lambda one: f"OLLAMA_{one[0]}{one[1]}={one[2]}{SECRET}{one[2]}".encode()
)
misplaced = st.tuples(st.sampled_from(PLACES), NUMBERS, st.sampled_from(["HOST", "URL", "URLS"])).map(
    lambda one: f"OLLAMA_{one[2]}{one[1]}={one[0].format(SECRET)}".encode()
)
broken = st.sampled_from([f"OLLAMA_API_KEY: {SECRET}", f"OLLAMA_API_KEY:{SECRET}=", SECRET, f"A='{SECRET}"]).map(
    str.encode
)
lines = st.lists(st.one_of(junk, text, addresses, secrets, misplaced, broken), max_size=12)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(lines, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.booleans())
def test_any_file_is_reported_without_its_secrets(
    parts: list[bytes], newline: bytes, update: bool, is_rehearsal: bool
) -> None:
    try:
        file = env_file.parse(newline.join(parts))
    except ValueError as error:
        refusal: str | None = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert SECRET not in refusal
        return
    gathering = Gathering.of(file, {})
    server = Known(id=UUID(int=1), name="old", url="http://gpu-1:11434", is_active=True, priority=0, max_concurrent=1)
    planner = Planner(known=[server], allowed_networks=(), update=update)
    steps = list(planner.steps(gathering.candidates))
    findings = [*gathering.findings, *(finding for step in steps for finding in step.findings)]
    report = Report(findings=findings, others=gathering.others, is_rehearsal=is_rehearsal)
    assert SECRET not in repr((report, gathering, file))
    assert SECRET not in str(report.document())
    assert all(step.create is None or step.create.name for step in steps)
