"""The sandbox's guests: a Debian kernel, a small initramfs with the real guest agent, and the QEMU around them."""
