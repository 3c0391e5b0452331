<?php
// All that a tenant's request can see of parameters and settings. The literal ini_get() calls are
// what OPcache would fold into bytecode that all tenants share.
$ini = ini_get_all(null, false);
header('Content-Type: application/json');
echo json_encode([
    'pid' => getmypid(),
    'is_cached' => opcache_is_script_cached(__FILE__),
    'server' => $_SERVER,
    'env' => $_ENV,
    'getenv' => getenv(),
    'ini' => $ini,
    'literal' => [
        'memory_limit' => ini_get('memory_limit'),
        'max_execution_time' => ini_get('max_execution_time'),
        'user_agent' => ini_get('user_agent'),
        'error_prepend_string' => ini_get('error_prepend_string'),
        'date.timezone' => ini_get('date.timezone'),
    ],
], JSON_THROW_ON_ERROR | JSON_PARTIAL_OUTPUT_ON_ERROR);
