<?php
/*
 * Sends an organisation's uploads, which lie below its DATAROOT: /uploads.php/2026/11/picture.jpg.
 * Beside wp-config.php in WordPress's root. It does not start WordPress; what it sends may be kept by
 * browsers and caches. Only what is harmless in a browser is shown there, the rest is downloaded.
 */
declare(strict_types=1);

const SHOWN = [
    'jpg' => 'image/jpeg', 'jpeg' => 'image/jpeg', 'png' => 'image/png', 'gif' => 'image/gif',
    'webp' => 'image/webp', 'avif' => 'image/avif', 'ico' => 'image/x-icon', 'bmp' => 'image/bmp',
    'mp3' => 'audio/mpeg', 'm4a' => 'audio/mp4', 'ogg' => 'audio/ogg', 'wav' => 'audio/wav',
    'mp4' => 'video/mp4', 'm4v' => 'video/mp4', 'webm' => 'video/webm', 'ogv' => 'video/ogg',
    'pdf' => 'application/pdf', 'txt' => 'text/plain; charset=utf-8',
];
const PIECE_BYTES = 65536;

function refuse(int $status): never
{
    http_response_code($status);
    header('Content-Type: text/plain');
    exit($status === 404 ? "Not found\n" : "Not allowed\n");
}

/** The file that is asked for; below the uploads, links resolved, nothing hidden. */
function wanted_file(): string
{
    $uploads = realpath((string) getenv('DATAROOT') . '/uploads');
    $name = $_SERVER['PATH_INFO'] ?? '';
    if ($uploads === false || str_contains($name, '/.') || str_contains($name, "\0")) {
        refuse(404);
    }
    $path = realpath($uploads . $name);
    if ($path === false || !str_starts_with($path, $uploads . '/') || !is_file($path)) {
        refuse(404);
    }
    return $path;
}

/** First and last byte to send: of "Range: bytes=A-B", "A-" or "-LAST"; else all. */
function wanted_range(int $size): array
{
    if (!preg_match('/^bytes=(\d*)-(\d*)$/', $_SERVER['HTTP_RANGE'] ?? '', $range)
        || $range[1] . $range[2] === '' || isset($_SERVER['HTTP_IF_RANGE'])) {
        return [0, $size - 1];
    }
    $first = $range[1] === '' ? max(0, $size - (int) $range[2]) : (int) $range[1];
    $last = $range[1] === '' || $range[2] === '' ? $size - 1 : min((int) $range[2], $size - 1);
    if ($first > $last) {
        header("Content-Range: bytes */$size");
        refuse(416);
    }
    http_response_code(206);
    header("Content-Range: bytes $first-$last/$size");
    return [$first, $last];
}

function send(string $path, int $first, int $last): void
{
    $file = fopen($path, 'rb');
    fseek($file, $first);
    for ($left = $last - $first + 1; $left > 0 && !feof($file); $left -= PIECE_BYTES) {
        echo fread($file, min($left, PIECE_BYTES));
    }
}

if (!in_array($_SERVER['REQUEST_METHOD'], ['GET', 'HEAD'], true)) {
    refuse(405);
}
$path = wanted_file();
$type = SHOWN[strtolower(pathinfo($path, PATHINFO_EXTENSION))] ?? null;
$tag = sprintf('"%x-%x"', filemtime($path), filesize($path));
header('X-Content-Type-Options: nosniff');
header('Cache-Control: public, max-age=86400');
header('ETag: ' . $tag);
header('Last-Modified: ' . gmdate('D, d M Y H:i:s', filemtime($path)) . ' GMT');
header('Content-Type: ' . ($type ?? 'application/octet-stream'));
if ($type === null) {
    header('Content-Disposition: attachment');
}
if (($_SERVER['HTTP_IF_NONE_MATCH'] ?? '') === $tag) {
    http_response_code(304);
    exit;
}
header('Accept-Ranges: bytes');
[$first, $last] = wanted_range(filesize($path));
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    send($path, $first, $last);
}
