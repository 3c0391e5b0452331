<?php
// What PHP was told, for tests to compare; with ?sleep=MS it takes its time.
usleep(1000 * (int) ($_GET['sleep'] ?? 0));
header('Content-Type: application/json');
echo json_encode(['env' => getenv(), 'server' => $_SERVER, 'pid' => getmypid()],
                 JSON_INVALID_UTF8_SUBSTITUTE);
