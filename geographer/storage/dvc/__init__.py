"""DVC: store files by checksum, write `.dvc` files. This is the only package that imports DVC."""
