<?php
// ?ms=N: work of about N ms CPU. ?tail=N: and as much again after the client has its answer.
const ROUNDS_PER_MS = 9000;

function burn(int $milliseconds): void
{
    for ($round = ROUNDS_PER_MS * $milliseconds; $round > 0; $round--) {
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
