<?php
// ?ms=N: uses the CPU for N ms. ?tail=N: and for N ms more after the client has its answer.
function burn(int $milliseconds): void
{
    $end = hrtime(true) + 1000000 * $milliseconds;
    while (hrtime(true) < $end) {
        md5('burn');
    }
}

header('Content-Type: text/plain');
burn((int) ($_GET['ms'] ?? 0));
echo 'burnt';
if (isset($_GET['tail'])) {
    fastcgi_finish_request();
    burn((int) $_GET['tail']);
}
