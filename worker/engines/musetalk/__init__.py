"""MuseTalk 1.0 and 1.5: the networks of TMElyralab/MuseTalk (MIT), one step a frame."""
