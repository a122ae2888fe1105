"""The recorder: camera, microphone, one button, one light. It holds no key that opens a film."""
