<?php
http_response_code((int) $_GET['code']);
header('Content-Type: text/plain');
setcookie('first', 'a b', 0, '/');
setcookie('second', '2', 0, '/');
echo 'status ', $_GET['code'];
