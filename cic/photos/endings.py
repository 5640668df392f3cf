"""Endings of the names of photos, films and shards."""

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".tga", ".mpo",
    ".avif", ".heic", ".heif", ".hif",
)  # fmt: skip
FILMS = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts",
    ".m2ts", ".wmv", ".asf", ".flv", ".ogv", ".3gp", ".3g2", ".mxf", ".dv", ".qt", ".divx",
    ".f4v", ".m2t", ".tod", ".mpe", ".m1v", ".m2v", ".ogm", ".rm", ".rmvb", ".mk3d",
)  # fmt: skip
SHARD = ".tar"
