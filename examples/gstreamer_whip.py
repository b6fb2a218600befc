"""Publish to Vivace by WHIP with GStreamer's `webrtcbin`, where there is no `whipsink`, as on Debian 12.

    apt-get install python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice \
        gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    /usr/bin/python3 examples/gstreamer_whip.py "http://127.0.0.1:8787/whip?prompt=neon"

It needs nothing of Vivace. A second word says how many seconds to publish, 0 being without end; a third one replaces
the test picture, such as "v4l2src ! videoconvert". A token goes into the address as `&token=…`.
"""

from __future__ import annotations

import signal
import sys
import urllib.error
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

TEST_PICTURE = "videotestsrc is-live=true pattern=ball"
SEND = (
    "webrtcbin name=peer bundle-policy=max-bundle {source} ! videoscale ! videorate"
    " ! video/x-raw,width=640,height=360,framerate=30/1 ! videoconvert"
    " ! x264enc tune=zerolatency speed-preset=superfast key-int-max=60 bitrate=2000 ! video/x-h264,profile=main"
    " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"
    " ! application/x-rtp,media=video,encoding-name=H264,payload=96 ! peer."
)


class Publisher:
    """One WHIP connection: an offer with all its candidates, an answer, and a goodbye."""

    def __init__(self, url: str, source: str) -> None:
        self.url = url
        self.resource: str | None = None
        self.failed = False
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(SEND.format(source=source))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("notify::connection-state", self.changed)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _bus, message: self.fail(message.parse_error()[0].message))

    def offer(self, peer: Gst.Element) -> None:
        """Describe what is sent; candidates are gathered from then on."""
        peer.emit("get-transceiver", 0).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

        def made(promise: Gst.Promise) -> None:
            reply = promise.get_reply()  # the description lives as long as it does
            peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def gathered(self, peer: Gst.Element, _property: object) -> None:
        """Send the offer when it holds all candidates, and take the answer."""
        if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        offer = peer.get_property("local-description").sdp.as_text().encode()
        request = urllib.request.Request(self.url, offer, {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                self.resource = urljoin(self.url, reply.headers["Location"])
                _, answer = GstSdp.SDPMessage.new_from_text(reply.read().decode())
        except urllib.error.HTTPError as error:
            self.fail(error.read().decode(errors="replace"))  # it says why
            return
        except OSError as error:
            self.fail(f"{self.url.partition('?')[0]}: {error}")
            return
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer)
        peer.emit("set-remote-description", described, Gst.Promise.new())

    def changed(self, peer: Gst.Element, _property: object) -> None:
        """Say how the connection does; end when it cannot be made."""
        state = peer.get_property("connection-state")
        print(state.value_nick, flush=True)
        if state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            self.fail("the connection failed")

    def fail(self, words: str) -> None:
        """End because of an error."""
        self.failed = True
        print(words, file=sys.stderr)
        self.loop.quit()

    def run(self, seconds: float) -> int:
        """Publish; return the exit code."""
        self.pipeline.set_state(Gst.State.PLAYING)
        if seconds:
            GLib.timeout_add(round(1000 * seconds), self.loop.quit)
        # Handlers of GLib's own: a shell has its background jobs ignore SIGINT, and Python leaves it at that.
        for each in (signal.SIGINT, signal.SIGTERM):
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, each, self.loop.quit)
        self.loop.run()
        if self.resource is not None:
            urllib.request.urlopen(urllib.request.Request(self.resource, method="DELETE"), timeout=20).close()
        self.pipeline.set_state(Gst.State.NULL)
        return int(self.failed)


def main(url: str, seconds: str = "0", source: str = TEST_PICTURE) -> int:
    """Publish to an address."""
    Gst.init(None)
    return Publisher(url, source).run(float(seconds))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
