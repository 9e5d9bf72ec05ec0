"""The section `flex` as the daemon uses it: links and certificates for the driver, the site's part for the core."""

from __future__ import annotations

from collections.abc import Sequence

from scowl_edge.assembly.assembly import FlexPeerSettings, FlexSettings
from scowl_edge.assembly.declare import secret
from scowl_edge.assembly.flex_devices import device_parts
from scowl_edge.assembly.flex_schema import Flex, FlexManager, FlexProvider, most_linked
from scowl_edge.assembly.kinds import split_listen
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.wiring import Wiring
from scowl_edge.model.part import DevicePart, FlexPart, ManagerPart, ProviderPart, UserPart
from scowl_edge.model.site import NONE


def flex_settings(section: Flex) -> FlexSettings | None:
    """Links of the section as it was read; None if there are none."""
    if section.tls is None:
        return None
    host, port = split_listen(section.listen) if section.listen is not None else ("", 0)
    return FlexSettings(
        host=host,
        port=port,
        certificate=secret(section.tls.certificate),
        authority=secret(section.tls.authority),
        key=secret(section.tls.key),
        revoked=secret(section.tls.revoked) if section.tls.revoked is not None else None,
        peers=tuple(
            FlexPeerSettings(
                name=name, node=peer.node, url=peer.url or "", fingerprint=(peer.fingerprint or "").lower()
            )
            for name, peer in section.peers.items()
        ),
    )


def flex_part(configuration: Configuration, ratings: Sequence[str], wiring: Wiring) -> FlexPart:
    """The site's part, from a section that is there; `ratings` are the names of all, in order."""
    section = configuration.flex
    assert section is not None, "called only where there is such a section"
    own = device_parts(configuration, section.manager, wiring) if section.manager is not None else ()
    return FlexPart(
        manager=_manager(section, section.manager, own) if section.manager is not None else None,
        provider=_provider(section, section.provider, ratings) if section.provider is not None else None,
    )


def _manager(section: Flex, manager: FlexManager, own: tuple[DevicePart, ...]) -> ManagerPart:
    peer = section.peers.get(manager.provider or "")
    autonomous = manager.autonomous
    return ManagerPart(
        node=manager.node,
        provider=peer.node if peer is not None else manager.provider or "",
        appliances=most_linked(section),
        failsafe_p_upper_w=manager.failsafe.import_,
        failsafe_p_lower_w=-manager.failsafe.export,
        failsafe_min_s=manager.failsafe.hold // 1000,
        autonomous_p_upper_w=autonomous.import_ if autonomous is not None else None,
        autonomous_p_lower_w=-autonomous.export if autonomous is not None else None,
        autonomous_unlimited=manager.unlimited,
        random_offset_max_s=manager.random_offset // 1000,
        devices=own,
        users=tuple(
            UserPart(
                esa_id=esa_id,
                routine="routine" in user.modes,
                response="response" in user.modes,
                random_offset_max_s=user.random_offset // 1000 if user.random_offset is not None else None,
            )
            for esa_id, user in sorted(manager.users.items())
        ),
    )


def _provider(section: Flex, provider: FlexProvider, ratings: Sequence[str]) -> ProviderPart:
    return ProviderPart(
        node=provider.node,
        failsafe_p_upper_w=provider.failsafe.import_,
        max_ramp_w_per_s=provider.max_ramp,
        slot_ms=provider.slot,
        slots=max(1, provider.horizon // provider.slot),
        replan_ms=provider.replan,
        accept_ms=provider.answer,
        job_ms=provider.plan_within,
        moves=provider.moves,
        level_w=provider.level,
        response=provider.mode == "response",
        rating=ratings.index(provider.within) if provider.within is not None else NONE,
        below=tuple((p.node, ratings.index(p.within)) for p in section.peers.values() if p.within is not None),
    )
