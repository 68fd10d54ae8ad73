"""The API as a service of the embedded stack, and of `dubline up` and the demo."""

import httpx2

from contract.settings import Settings
from producer import local
from producer.local import LocalStack, _environment

QUIET = {"workers": 0, "feeder": False, "flower": False}


def test_the_stack_serves_the_api_and_tells_where(programs, tmp_path):
    settings = Settings(api_origins=("https://a.example", "https://b.example"))
    with LocalStack.start(tmp_path, **QUIET, api=True, settings=settings) as stack:
        assert httpx2.get(f"{stack.api_url}/health/ready", trust_env=False).json() == {"status": "ok"}
        assert "server" not in httpx2.get(f"{stack.api_url}/version", trust_env=False).headers
        asked = httpx2.options(
            f"{stack.api_url}/jobs",
            headers={"Origin": "https://b.example", "Access-Control-Request-Method": "POST"},
            trust_env=False,
        )
        assert asked.headers["access-control-allow-origin"] == "https://b.example"
        (api,) = [each for each in stack.services if each.name == "api"]
    assert "Traceback" not in api.log.read_text()


def test_without_its_extra_the_stack_goes_without_the_api(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "is_installed", lambda: False)
    with LocalStack.start(tmp_path, **QUIET, api=True, settings=Settings()) as stack:
        assert stack.api_url is None
        assert "api" not in [each.name for each in stack.services]


def test_settings_of_several_words_reach_the_services(settings, monkeypatch):
    told = settings.model_copy(update={"api_origins": ("https://a.example", "https://b.example")})
    for name, value in _environment(told).items():
        if name.startswith("DUBLINE_"):
            monkeypatch.setenv(name, value)
    assert Settings.read().api_origins == told.api_origins
