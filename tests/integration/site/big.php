<?php
// ?bytes=N: N bytes that are the same at every call.
header('Content-Type: application/octet-stream');
$left = (int) $_GET['bytes'];
for ($line = 0; $left > 0; $line++) {
    $piece = substr(str_repeat(sprintf("%015d\n", $line), 4096), 0, $left);
    echo $piece;
    $left -= strlen($piece);
}
