// Notes when each encoded frame leaves the encoder, by its RTP timestamp, and passes it on untouched.
self.onrtctransform = ({ transformer }) => {
  const note = new TransformStream({
    transform(frame, controller) {
      const rtp = frame.getMetadata().rtpTimestamp ?? frame.timestamp;
      self.postMessage({ rtp, atMs: performance.timeOrigin + performance.now() });
      controller.enqueue(frame);
    },
  });
  transformer.readable.pipeThrough(note).pipeTo(transformer.writable).catch(() => {});   // the connection was closed
};
