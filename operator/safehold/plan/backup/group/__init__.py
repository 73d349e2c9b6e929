"""A fallback capture that cuts all volumes at one instant, by a VolumeGroupSnapshot of our own (docs/adr/0010)."""
