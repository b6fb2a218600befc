"""A live session: frames in from a transport, frames out to viewers, controls and events beside them.

| who | does |
|---|---|
| a transport, any thread | `push`, `presence`, `report_…` |
| the event loop | `subscribe`, `events`, `update`, `recorder`, `end` |
| the opener's thread | opens the model for the first frame's shape |
| the engine's thread | `_paint` |

Everything of a session hangs on this object and nothing of it on another, so that two sessions can mix nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Literal

from vivace import messages
from vivace.errors import SessionClosedError, VivaceError
from vivace.media.frame import Frame, Rgb
from vivace.media.live_sound import SoundPacket
from vivace.media.size import Size
from vivace.models.capacity import out_of_memory, ran_out_of_memory
from vivace.serve.context import SessionContext
from vivace.serve.dynamic_size import DynamicSize
from vivace.serve.engine import SessionQueue
from vivace.serve.fanout import Fanout, Listener, Subscription
from vivace.serve.intake import MICROSECOND, Intake
from vivace.serve.limits import check_frame
from vivace.serve.links import Links
from vivace.serve.presence import EndReason, Presence
from vivace.serve.record import SessionRecord
from vivace.serve.recording import Recorder
from vivace.serve.served_model import ServedModel, StepTime
from vivace.serve.sound import SessionSound
from vivace.serve.statistics import NetworkReport, session_stats
from vivace.serve.steering import Opening, SessionSteering, merged, told_to_others
from vivace.show.drive import Driven, Follower
from vivace.show.kept import KeptShow
from vivace.show.sound.hearing import hearing_of
from vivace.stream.account import SERVED_STAGES, Account, ProcessorObserver
from vivace.stream.controls import ControlBoard
from vivace.stream.fit import prepared
from vivace.stream.painter import ProcessorPolicy
from vivace.stream.presentation import Presenter
from vivace.stream.processor import FrameProcessor

_log = logging.getLogger(__name__)

State = Literal["waiting", "live", "ended"]


class LiveSession:
    """One client's stream on the server. Thread-safe, but where a method says otherwise."""

    def __init__(
        self,
        served: ServedModel,
        opening: Opening,
        record: SessionRecord,
        rate: float,
        context: SessionContext,
        driven_by: Sequence[Follower] = (),
    ) -> None:
        """Begin, waiting; `go_live` gives it its slot. `rate` is that of its `Demand`."""
        settings = context.settings
        self.id = record.id
        self.secret = record.secret
        """Secret of its owner, who gets the session back for it."""
        self.client = record.client
        self.promised_fps: float | None = None
        """Frames a second that it was promised when it went live."""
        self._record = record.model_copy(update={"model": served.name, "controls": opening.given})
        self.model = served.name
        self.served = served
        """Its model, with what others that use it share."""
        self.links = Links(self.id, record.links, context.changed)
        self.newest: Frame | None = None
        """The picture that left last."""
        self.created_s = context.clock()
        self.live_since_s: float | None = None
        self.end_reason: EndReason | None = None
        self.end_message = ""
        style = context.marking.label
        self.label = None if style is None else messages.Label(words=style.words, corner=style.corner, size=style.size)
        self._finishers = context.finishers(self.id)
        self.account = Account(SERVED_STAGES, context.clock, finishes=bool(self._finishers))
        self._network = NetworkReport()
        self._state: State = "waiting"
        self._context = context
        self._clock = context.clock
        self.show = KeptShow(opening.given, served.model.spec)
        """Record of what was steered, to be written as a script."""
        self._board = ControlBoard(opening.controls, self.show)
        self._processor: FrameProcessor | None = None
        self._dynamic_size: DynamicSize | None = None
        self._opening = False
        self._queue = SessionQueue(
            self._paint, self._failed, settings.budget_ms / 1e3, served.model.spec.chunk_frames, weight=rate
        )
        self._intake = Intake(served.engine, self._queue)
        self._presenter: Presenter | None = None
        self._fanout = Fanout()
        self.sound = SessionSound(self.id)
        self._driven_by = driven_by
        """Controls that follow its sound."""
        self._hearing = hearing_of(self.sound.recorded) if driven_by else None
        self.recorder = Recorder(
            context.recording_store,
            owner=record.client,
            tell=self._fanout.tell,
            on_drop=lambda: self.account.dropped("recording"),
            clock=context.clock,
            marks=context.marking.files(self.id, served.name),
            sound=self.sound.recorded,
        )
        self._lock = Lock()
        """Guards what `push` and the end of the session touch; never held while something takes time."""
        self._steering = SessionSteering(
            served,
            self._board,
            opening.notices,
            max_px=settings.max_frame_px,
            processor=lambda: self._processor,
            resize=lambda size: context.resize(self.id, size),
            moderator=context.moderator,
        )
        self._one_update = asyncio.Lock()
        self.presence = Presence(
            context.clock, heartbeat_s=settings.heartbeat_s, grace_s=settings.grace_s, idle_s=settings.idle_s
        )
        self._waiting = messages.Waiting(position=1, retry_after_s=None)
        self._resumed = False

    # Frames

    def push(
        self,
        rgb: Rgb,
        capture_time_s: float | None = None,
        *,
        tag: int | None = None,
        source_size: Size | None = None,
    ) -> bool:
        """Give the newest picture; returns soon, and False when the session has ended. Any thread.

        What can be done to it before its turn is done here, in the caller's thread: it is scaled, unless it is of
        `next_size` already.

        Args:
            rgb: `uint8 [h w 3]`, which nobody changes any more.
            capture_time_s: when it was taken or arrived, monotonic; None is now.
            tag: comes out with what is made of it.
            source_size: `(width, height)` px of the picture that `rgb` was scaled from; None is its own.

        Raises:
            ControlError: no picture, or one too large.
        """
        check_frame(rgb, self._context.settings.max_frame_px)
        now_s = self._clock()
        captured_s = now_s if capture_time_s is None else capture_time_s
        frame = Frame(rgb, 0, 0, MICROSECOND, captured_s, {"receive": now_s}, tag=tag)
        size = self.next_size
        if size is not None:
            frame = prepared(frame, size)
        with self._lock:
            if self._state == "ended":
                return False
            self.presence.picture(now_s)
            self.account.received()
            if self._state == "waiting":
                left_out = "waiting"
            elif not self._is_open(source_size or (rgb.shape[1], rgb.shape[0])):
                left_out = "opening"
            else:
                if self._intake.offer(frame):
                    self.account.dropped("late")
                return True
            self._intake.skip()
            self.account.dropped(left_out)
            return True

    def hear(self, packet: SoundPacket) -> None:
        """Give sound, its time being that at which the pictures of its moment arrive, monotonic. On the event loop."""
        self.sound.take(packet, self._intake.began_s)

    @property
    def next_size(self) -> Size | None:
        """`(width, height)` px that pictures are best pushed at; None before the first one has told the shape."""
        processor = self._processor
        return None if processor is None else processor.next_size

    def subscribe(self) -> Subscription:
        """Return a new viewer's slot; iterate it on the running event loop and close it."""
        return self._fanout.subscribe()

    def expect(self, source: Size) -> None:
        """Get ready for pictures of the shape of `(width, height)` px, which have not come yet. Any thread."""
        with self._lock:
            if self._state == "live":
                self._is_open(source)

    def _is_open(self, source: Size) -> bool:
        """Tell whether the model is open, and have it follow the source's shape; have it opened for the first one."""
        if self._dynamic_size is not None:
            self._dynamic_size.follow_source(source)
            return True
        if not self._opening:
            self._opening = True
            self._context.in_background(lambda: self._open(source))
        return False

    def _open(self, source: Size) -> None:
        """Open the model for the first frame's shape, in a background thread."""
        try:
            with self._steering.lock:
                size = self._board.controls.size or self.served.natural_size(source)
                self.served.sizes.allow(size)
                mask = self._board.controls.mask
                if mask is not None:
                    mask.prepare(size)
                # What a client and the operator are told of a session is in its account.
                processor = FrameProcessor(
                    self.served.model,
                    size,
                    self._board,
                    ProcessorObserver(),
                    ProcessorPolicy(live=True, budget_ms=self._context.settings.budget_ms, areas=self.served.areas),
                    finishers=self._finishers,
                    clock=self._clock,
                )
                if self._hearing is not None:
                    processor.steered_by([Driven(self._driven_by, self._hearing)])
                with self._lock:
                    ended = self._state == "ended"
                    if not ended:
                        self._dynamic_size = DynamicSize(
                            self.id, processor, source, self.served, self._steering, self._context
                        )
                        self._processor = processor
                        self._presenter = self._new_presenter()
                        self.served.engine.add(self._queue)
                if ended:
                    processor.close()
                    return
        except Exception as error:  # noqa: BLE001  (a model may fail in any way, and only its session shall suffer)
            self._failed(error)
            return
        self._fanout.tell(self._live_message())

    def _new_presenter(self) -> Presenter | None:
        """Return what shows frames one by one that the model gives several at once; None where it gives one."""
        if self.served.model.spec.chunk_frames == 1:
            return None
        return Presenter(
            self._publish,
            clock=self._clock,
            on_drop=lambda _frame: self.account.dropped("unread"),
            on_end=lambda error: None if error is None else self._failed(error),
        ).start()

    # In the engine's thread

    def _paint(self, frame: Frame) -> None:
        processor, dynamic_size = self._processor, self._dynamic_size
        assert processor is not None
        assert dynamic_size is not None
        began_s = self._clock()
        dynamic_size.change_over(frame.index)
        # What one session alone may take, several share: each spends less before any of them drops frames.
        processor.deadline.budget_ms = min(self._context.settings.budget_ms, self.served.engine.share_s() * 1e3)
        effort = processor.deadline.effort
        made = processor.step(frame.marked("wait", began_s))
        dynamic_size.follow_deadline(frame.index)
        if any("denoise" in each.marks for each in made) and dynamic_size.area == 1.0:
            step_ms = (self._clock() - began_s) * 1e3 / len(made)
            self.served.steps.append(StepTime(processor.size, step_ms, effort))
        if self._presenter is not None:
            self._presenter.put(made)
        else:
            for each in made:
                self._publish(each)

    def _publish(self, frame: Frame) -> None:
        now_s = self._clock()
        self.newest = frame
        unread = self._fanout.publish(frame)  # before the account: somebody is waiting for it
        self.account.left(frame, now_s)
        if unread:
            self.account.dropped("unread", unread)
        self.recorder.offer(frame)
        for update_index, arrived_s in self._steering.reached(frame.control_index):
            took_ms = (now_s - arrived_s) * 1e3
            self.account.prompt_shown(took_ms)
            self._fanout.tell(
                messages.Applied(update_index=update_index, frame_index=frame.index, prompt_to_pixel_ms=took_ms)
            )

    def _failed(self, error: BaseException) -> None:
        """End because of an error; the others go on."""
        if ran_out_of_memory(error):
            size = self.size or self.served.default_size
            error = out_of_memory(self.served.model, size)
        if isinstance(error, VivaceError):
            message = f"{error}. Open a new session; if it happens again, tell who runs this server."
        else:
            _log.error("session %s failed", self.id, exc_info=error)
            message = "The server made a mistake; it is in its log. Open a new session."
        self.end("failed", message)

    # Steering

    async def update(
        self, controls: messages.Controls, request_id: str | None = None, by: Listener | None = None
    ) -> messages.Ack:
        """Change controls, all at one frame boundary; checking and encoding happen off the event loop.

        What cannot be done is refused as a whole: `Ack.accepted` is False and `message` says why. What is done is told
        to all that listen, but to who did it.

        Raises:
            SessionClosedError: the session has ended.
        """
        arrived_s = self._clock()
        if self._state == "ended":
            raise SessionClosedError(f"the session has ended ({self.end_reason}); open a new one")
        # One thread at a time for each session: a client that floods must not take those of others.
        async with self._one_update:
            ack = await asyncio.to_thread(self._steering.update, controls, request_id, arrived_s)
            if ack.accepted:
                with self._lock:
                    if self._presenter is None:
                        self._intake.repeat(self._clock())
                if ack.prompt is not None:
                    controls = controls.model_copy(update={"prompt": ack.prompt})
                self._record = self._record.model_copy(update={"controls": merged(self._record.controls, controls)})
                self._context.changed(self.id)
                if told := told_to_others(controls):
                    news = ack.model_dump(include={"message", "matches", "understood"})
                    self._fanout.tell(messages.Changed(controls=told, **news), but=by)
            return ack

    @property
    def record(self) -> SessionRecord:
        """The session as another process could go on with it."""
        return self._record.model_copy(update={"links": self.links.tokens})

    async def places_at(self, x: float, y: float) -> tuple[str, ...]:
        """Return the places at a point of the newest source picture, see `SessionSteering.places_at`."""
        newest = None if self.newest is None else self.newest.source_rgb
        return await asyncio.to_thread(self._steering.places_at, newest, x, y)

    # Events and reports

    def events(self) -> Listener:
        """Return what happens from now on, beginning with the present state; iterate on the running event loop."""
        with self._lock:
            return self._fanout.listen(self._state_message(), *self.notices)

    def report_presented(self, shown: Sequence[tuple[int, float]]) -> None:
        """Take glass-to-glass times that the client measured, `(frame index, ms)`."""
        self.account.presented(time_ms for _, time_ms in shown)

    def report_network(self, report: NetworkReport) -> None:
        """Take what a transport knows of the network."""
        self._network = report

    def report_sent(self, frame: Frame, sent_s: float | None = None) -> None:
        """Take the time at which a transport had a frame encoded and on its way, monotonic; None is now."""
        sent_s = self._clock() if sent_s is None else sent_s
        self.account.sent(frame, sent_s)
        self.sound.delay.picture_took(sent_s - frame.capture_time_s)

    def stats(self) -> messages.Stats:
        """Return how the session does."""
        processor, recording = self._processor, self.recorder.current
        return session_stats(
            self.account,
            self._network,
            time_s=self._clock() - self.created_s,
            effort=None if processor is None else processor.deadline.effort,
            size=self.size,
            recording=None if recording is None else recording.name,
            sound=self.sound.state,
            newest=self.newest,
        )

    def tell_stats(self) -> None:
        """Send the statistics to all listeners; the manager does it twice a second."""
        self._fanout.tell(self.stats())

    def tell_waiting(self, position: int, retry_after_s: float | None, offer: Size | None = None) -> None:
        """Say where in the queue the session is, and with which smaller output it would begin at once."""
        self._waiting = messages.Waiting(position=position, retry_after_s=retry_after_s, offer=offer)
        self._fanout.tell(self._waiting)

    def tell(self, event: messages.ServerMessage) -> None:
        """Send something else to all listeners."""
        self._fanout.tell(event)

    def _state_message(self) -> messages.ServerMessage:
        if self._state == "waiting":
            return self._waiting
        if self._state == "live":
            return self._live_message()
        assert self.end_reason is not None
        return messages.Ended(reason=self.end_reason, message=self.end_message)

    def _live_message(self) -> messages.Live:
        now: dict[str, Any] = {"size": self.size, "label": self.label, "fps": self.promised_fps}
        return messages.Live(session=self.id, model=self.model, resumed=self._resumed, **now)

    @property
    def notices(self) -> tuple[messages.Notice, ...]:
        """Notices of controls that were asked for at the opening and left out, until an update brings others."""
        return self._steering.notices

    # Life

    @property
    def painted(self) -> bool:
        """True while the newest picture is painted, not its source as it is."""
        return self.newest is not None and self.newest.painted

    @property
    def state(self) -> State:
        """`waiting`, `live` or `ended`."""
        return self._state

    @property
    def size(self) -> Size | None:
        """Present output `(width, height)`, px; None until the first frame has come."""
        processor = self._processor
        return self._board.controls.size if processor is None else processor.size

    @property
    def control_channels(self) -> int:
        """Number of listeners to its events: who steers it."""
        return self._fanout.listeners

    def attach(self) -> Callable[[float], None]:
        """A connection of the client's stands, a sign of life as long as it does; call what is returned at its end."""
        return self.presence.attach()

    def go_live(self, promised_fps: float | None = None) -> None:
        """Have a slot from now on."""
        with self._lock:
            if self._state != "waiting":
                return
            self.promised_fps = promised_fps
            self._state = "live"
            self.live_since_s = self._clock()
        self._fanout.tell(self._live_message())

    def resume(self) -> None:
        """The client has come back."""
        self.presence.touch()
        self._resumed = True
        with self._lock:
            event = self._state_message()
        self._fanout.tell(event)

    def end(self, reason: EndReason, message: str = "") -> None:
        """End: tell everybody, close the recording, free the buffers and the slot. Any thread, any number of times.

        Clients of a session that has `moved` are told nothing: their channels close, and they connect again.
        """
        with self._lock:
            if self._state == "ended":
                return
            self._state = "ended"
            self.end_reason, self.end_message = reason, message
        if self._dynamic_size is not None:
            self._dynamic_size.stopped = True
        recordings = self.recorder.end()
        # Who hears of the end finds the slot free.
        if self._presenter is not None:
            self._presenter.stop()
        self.served.engine.leave(self._queue, self._free)
        self._context.ended(self.id, recordings)
        self.recorder.tell_end()
        if reason != "moved":
            self._fanout.tell(messages.Ended(reason=reason, message=message))
        self._fanout.finish()

    def _free(self) -> None:
        processor, self._processor = self._processor, None
        self._dynamic_size = None
        self.newest = None
        if processor is not None:
            processor.close()
        if self._hearing is not None:
            self._hearing.close()
        self._board.close()
