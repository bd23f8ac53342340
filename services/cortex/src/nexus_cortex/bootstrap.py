"""Cortex put together."""

from __future__ import annotations

from collections.abc import Callable

from nexus_common.contracts.model import REGIME
from nexus_common.runtime.bus.topology import partition_of
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.adapters.clerk import Clerk
from nexus_cortex.adapters.wish_box import WishBox
from nexus_cortex.artefact import ArtefactRefused, load_artefact, read_folder
from nexus_cortex.domain.classifier import ByModel
from nexus_cortex.domain.evaluation import ReadRegimes, by_rules
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.modelled import ModelledCortex
from nexus_cortex.models_in_use import ModelsInUse

FIXED = "NEXUS__CORTEX__MODEL names the model that reads the regime here; clear it to follow the registry"


def reactor(settings: NexusSettings, owns: Callable[[str], bool] = lambda key: True) -> CortexReactor:
    """Cortex as the settings want it; also for backtests and replays, which have no bus.

    Raises ConfigurationError for a strategy, parameter, timeframe or model that cannot be used.
    """
    cortex = settings.cortex
    return CortexReactor(
        cortex.strategy,
        cortex.parameters,
        cortex.shark_targets,
        owns,
        timeframes=cortex.timeframes,
        read_regimes=regimes_of(cortex),
    )


def regimes_of(settings: CortexSettings) -> ReadRegimes:
    """The model that the settings name, or the rules; raises ConfigurationError when it cannot be used."""
    if settings.model is None:
        return by_rules
    try:
        return ByModel(load_artefact(read_folder(settings.model)))
    except ArtefactRefused as refusal:
        raise ConfigurationError(
            f"the model in {settings.model} (NEXUS__CORTEX__MODEL): {refusal}"
        ) from refusal


async def build(context: Context) -> Work:
    settings, leases = context.settings, context.leases
    cortex = reactor(settings, lambda key: leases.owns(partition_of(key)))
    box = WishBox(settings.store.url)
    context.closing.push_async_callback(box.close)
    fixed = None if settings.cortex.model is None else FIXED

    def is_ours() -> bool:
        return leases.owns(partition_of(REGIME))

    clerk = Clerk(box, context.store, context.clock, is_ours, fixed)
    context.beside.append(clerk.keep)
    if fixed is not None:
        return await context.lockstep(cortex)
    models = ModelsInUse(context.store)
    promotes = settings.cortex.promote_shadow
    return await context.lockstep(ModelledCortex(cortex, models, clerk, is_ours, promotes=promotes))
