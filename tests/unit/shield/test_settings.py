from decimal import Decimal as D

import pytest
from pydantic import ValidationError

from nexus_common.contracts.limits import PROFILES, RiskSettings
from nexus_common.contracts.values import Profile
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import load


def test_the_profiles_are_those_of_the_rules():
    rows = {
        profile: (p.leverage, p.max_leverage, p.gross_margin, p.gross_notional, p.stop_scale)
        for profile, p in PROFILES.items()
    }
    assert rows == {
        Profile.CONSERVATIVE: (2, 3, D("0.30"), D(1), D("1.5")),
        Profile.NEXUS: (5, 10, D("0.50"), D(3), D(1)),
        Profile.RONIN: (10, 20, D("0.20"), D(4), D(1)),
    }


def test_a_figure_can_be_changed_within_its_cap():
    changed = RiskSettings().changed("margin_fraction", D("0.02"))
    assert changed.margin_fraction == D("0.02")
    assert RiskSettings().margin_fraction == D("0.05")
    assert changed.changed("kelly", D(1)).kelly is True
    assert changed.changed("leverage", D(3)).leverage == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("margin_fraction", "0.2"), ("risk_fraction", "0.05"), ("daily_loss", "0.5"), ("leverage", "50")],
)
def test_nobody_gets_beyond_a_cap(name, value):
    with pytest.raises(ValueError, match=name):
        RiskSettings().changed(name, D(value))
    with pytest.raises(ValidationError):
        RiskSettings.model_validate({name: D(value)})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_figure(value):
    with pytest.raises(ValueError, match="margin_fraction cannot be"):
        RiskSettings().changed("margin_fraction", D(value))


def test_a_settings_file_beyond_a_cap_is_refused_with_its_place():
    with pytest.raises(ConfigurationError, match=r"(?i)margin_fraction.*0\.10"):
        load(environment={"NEXUS__SHIELD__RISK__MARGIN_FRACTION": "0.2"})


def test_no_verdict_rests_on_what_is_no_number(make):
    with pytest.raises(ValidationError, match="finite"):
        make.context(equity=D("NaN"))
    with pytest.raises(ValidationError, match="finite"):
        make.request(price=D("NaN"))


def test_an_unknown_figure_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match=r"'margin' is not a risk setting; there are .*margin_fraction"):
        RiskSettings().changed("margin", D("0.02"))
