"""The decode child: the only place where users' bytes meet libav and Pillow. Nothing outside imports it."""
