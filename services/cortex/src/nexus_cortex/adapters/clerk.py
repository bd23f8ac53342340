"""Takes operators' wishes in, beside the turns: what takes long is done here, what is decided is decided in a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nexus_common.contracts import ids
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    ModelCard,
    ModelCommand,
    ModelDeclined,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    PromoteModel,
    RefuseModel,
    RegisterModel,
    RollBackModel,
    SetShadow,
    ShadowSet,
)
from nexus_common.contracts.values import ModelId, Service
from nexus_common.runtime.errors import StoreUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Clock
from nexus_common.runtime.store import Store
from nexus_cortex.adapters.wish_box import Wish, WishBox, WishKind
from nexus_cortex.artefact import ArtefactRefused, check_apart, load_artefact
from nexus_cortex.domain.model import next_close
from nexus_cortex.models_in_use import STREAM, card_of

LOOK_SECONDS: Final = 1.0
NOTHING: Final = "nothing to do: it is so already"
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish that can be decided; `checked` is the card of a model to register, or why it is refused."""

    wish: Wish
    checked: ModelCard | str | None

    def command(self, at: datetime) -> ModelCommand:
        """What to decide at an instant. Changes of who reads the regime take effect at the next close."""
        wish, model = self.wish, self.wish.model or ModelId("")
        match wish.kind:
            case WishKind.REGISTER if isinstance(self.checked, ModelCard):
                return RegisterModel(self.checked, wish.by, at)
            case WishKind.REGISTER:
                return RefuseModel(model, str(self.checked), wish.by, at)
            case WishKind.PROMOTE:
                return PromoteModel(model, next_close(at), wish.by, wish.reason, at)
            case WishKind.ROLL_BACK:
                return RollBackModel(next_close(at), wish.by, wish.reason, at)
            case WishKind.SHADOW:
                return SetShadow(wish.model, next_close(at), wish.by, at)


class Clerk:
    """Looks for wishes as long as this process is the one that decides them.

    A wish is off the table once the event it led to is in the store: that event's id is made of the wish's number,
    so a process that died in between leaves nothing in doubt.
    """

    def __init__(
        self,
        box: WishBox,
        store: Store,
        clock: Clock,
        is_ours: Callable[[], bool],
        fixed: str | None = None,
    ) -> None:
        """`fixed` is why nothing can be changed here: every wish is answered with it."""
        self._box = box
        self._store = store
        self._clock = clock
        self._is_ours = is_ours
        self._fixed = fixed
        self._prepared: dict[int, Prepared] = {}
        self._decided: dict[int, bool] = {}

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("wishes about models not read", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Note what became of wishes, and get new ones ready to be decided."""
        if not self._is_ours():
            self._prepared.clear()
            return
        for wish in await self._box.open():
            outcome = self._fixed or await self._outcome(wish)
            if outcome is not None:
                await self._box.take(wish.number, outcome, self._clock.now())
                self._prepared.pop(wish.number, None)
            elif wish.number not in self._prepared and wish.number not in self._decided:
                self._prepared[wish.number] = await self._prepare(wish)

    def waiting(self) -> Sequence[Prepared]:
        """The wishes to decide now, in the order in which they were asked."""
        return [self._prepared[number] for number in sorted(self._prepared)]

    def decided(self, prepared: Prepared, *, anything: bool) -> None:
        """It was decided in this turn; when that led to no event, no event will tell of it."""
        self._decided[prepared.wish.number] = anything
        self._prepared.pop(prepared.wish.number, None)  # A look in between may have cleared it away.

    async def _outcome(self, wish: Wish) -> str | None:
        if self._decided.get(wish.number) is False:
            return NOTHING
        found = await self._store.find(ids.event_id(wish.cause, Service.CORTEX, STREAM, 0))
        return None if found is None else outcome_of(found.event)

    async def _prepare(self, wish: Wish) -> Prepared:
        if wish.kind is not WishKind.REGISTER or wish.model is None:
            return Prepared(wish, None)
        files = await self._store.artefact(wish.model)
        try:
            await asyncio.to_thread(check_apart, files)
            artefact = await asyncio.to_thread(load_artefact, files)
            if artefact.model != wish.model:
                raise ArtefactRefused(f"the files are those of model {artefact.model}")
            return Prepared(wish, card_of(artefact))
        except ArtefactRefused as refusal:
            log.error("model refused", model=wish.model, reason=str(refusal))
            return Prepared(wish, str(refusal))


def outcome_of(event: Event) -> str:
    """What became of a wish, for who asked."""
    match event:
        case ModelRegistered():
            return f"registered: {event.card.model}"
        case ModelPromoted():
            return (
                f"promoted: {event.model} reads the regime from {event.effective_from:%Y-%m-%d %H:%M} UTC on"
            )
        case ModelRolledBack():
            return (
                f"rolled back: {event.model or 'the rules'} from {event.effective_from:%Y-%m-%d %H:%M} UTC on"
            )
        case ShadowSet():
            return f"shadow: {event.model or 'nobody'} from {event.effective_from:%Y-%m-%d %H:%M} UTC on"
        case ModelRefused():
            return f"refused: {event.reason}"
        case ModelDeclined():
            return f"declined: {event.reason}"
        case _:
            return event.type
