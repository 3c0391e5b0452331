<?php
// Everything that PHP knows of a request, as JSON. Times and the order of keys are left out.
$server = $_SERVER;
unset($server['REQUEST_TIME'], $server['REQUEST_TIME_FLOAT']);
ksort($server);
header('Content-Type: application/json');
echo json_encode([
    'server' => $server,
    'getenv' => getenv(),
    'get' => $_GET,
    'post' => $_POST,
    'cookie' => $_COOKIE,
    'body_length' => strlen(file_get_contents('php://input')),
    'body_md5' => md5(file_get_contents('php://input')),
], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
