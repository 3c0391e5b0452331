<?php
// Tries to leave something behind for the next request of the worker.
ini_set('memory_limit', '999M');
ini_set('user_agent', 'left behind');
ini_set('max_execution_time', '999');
putenv('DBPASS=secret-of-one');
putenv('ONLY_ONE=only-one');
$_ENV['DBPASS'] = $_SERVER['DBPASS'] = 'secret-of-one';
date_default_timezone_set('Asia/Tokyo');
header('Content-Type: application/json');
echo '{}';
