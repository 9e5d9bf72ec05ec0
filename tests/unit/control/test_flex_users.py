"""What users of appliances want, as it is configured; and an appliance that registers again."""

from __future__ import annotations

from flex_evening import CEM, MIN, Evening, config

from scowl_edge.dsr.member import UserSettings
from scowl_edge.model.exchange import Init, Message, Outcome, RegisterResult
from scowl_edge.model.flexibility import Mode, SelectionState


class Listening(Evening):
    """Keeps what appliances are told."""

    def _hear(self, message: Message) -> None:
        self.__dict__.setdefault("heard", []).append(message)
        super()._hear(message)

    def told(self, esa_id: str, kind: type) -> list[Message]:
        return [m for m in self.__dict__["heard"] if m.dst == f"esa:{esa_id}" and isinstance(m.body, kind)]


def with_users(users: str) -> str:
    return config().replace(f'manager: {{node: "{CEM}"', f'manager: {{users: {users}, node: "{CEM}"')


def test_offers_are_kept_from_services_that_a_user_does_not_want_and_delays_are_his() -> None:
    shy, calm = sorted(Evening(2, start_h=17).homes)[:2]
    world = Listening(2, start_h=17, text=with_users(f"{{{shy}: {{modes: []}}, {calm}: {{random_offset: 30 s}}}}"))
    world.run_for(10 * MIN)
    assert world.cem.members[shy].settings == UserSettings(modes=(), random_offset_max_s=None)
    known = {esa_id: mirror.offer_set for esa_id, mirror in world.provider.mirrors.items()}
    own = world.homes[shy].appliance.esa.offer_set
    assert own is not None and own.offers, "it would offer"
    assert known[shy] is not None and known[shy].offers == ()
    assert any(offers is not None and offers.offers for offers in known.values())
    assert not [s for s in world.homes[shy].appliance.esa.selections.kept if s.state is not SelectionState.REJECTED]
    delays = {m.body.random_offset_max_s for m in world.told(calm, Init) if isinstance(m.body, Init)}
    assert delays == {30}
    other = next(e for e in world.homes if e not in (shy, calm))
    assert {m.body.random_offset_max_s for m in world.told(other, Init) if isinstance(m.body, Init)} == {600}


def test_a_restart_with_other_words_of_a_user_goes_by_them() -> None:
    world = Evening(2, start_h=17)
    world.run_for(10 * MIN)
    esa_id = sorted(world.homes)[0]
    assert Mode.ROUTINE in world.cem.members[esa_id].settings.modes
    after = world.crashed(0, text=with_users(f"{{{esa_id}: {{modes: [response], random_offset: 5 s}}}}"))
    after.reconnect()
    after.run_for(10 * MIN)
    assert after.cem.members[esa_id].settings == UserSettings(modes=(Mode.RESPONSE,), random_offset_max_s=5)
    told = after.homes[esa_id].appliance.esa.init
    assert told is not None and told.random_offset_max_s == 5
    assert after.replayed().identical


def test_registering_again_with_the_same_words_is_accepted_and_changes_nothing() -> None:
    world = Listening(1, start_h=17)
    world.run_for(5 * MIN)
    esa_id = sorted(world.homes)[0]
    home, before = world.homes[esa_id], world.cem.members[esa_id].life
    life, since_ms, inits = before.life, before.since_mono_ms, len(world.told(esa_id, Init))
    had = len(world.told(esa_id, RegisterResult))
    world._say(home, (home.appliance.register,))
    world.run_for(MIN)
    results = world.told(esa_id, RegisterResult)[had:]
    assert [m.body.outcome for m in results if isinstance(m.body, RegisterResult)] == [Outcome.ACCEPTED]
    assert (world.cem.members[esa_id].life.life, world.cem.members[esa_id].life.since_mono_ms) == (life, since_ms)
    assert len(world.told(esa_id, Init)) == inits
