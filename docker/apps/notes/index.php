<?php
// A notebook for one organisation. It knows nothing of the others, nor of fpmux: all that it needs
// to know comes from the environment, as DBHOST ("host" or "localhost:/path/to/socket"), DBNAME,
// DBUSER, DBPASS, WWWROOT and ORGANISATION.
declare(strict_types=1);

const NOTE_LENGTH_MAX = 500;

function setting(string $name): string
{
    $value = getenv($name);
    if ($value === false) {
        throw new RuntimeException("$name is not set");
    }
    return $value;
}

function database(): PDO
{
    [$host, $socket] = explode(':', setting('DBHOST'), 2) + [1 => ''];
    $where = $socket === '' ? "host=$host" : "unix_socket=$socket";
    return new PDO("mysql:$where;dbname=" . setting('DBNAME') . ';charset=utf8mb4',
                   setting('DBUSER'), setting('DBPASS'));
}

/** Runs work on the database, and makes the table if this is its first use. */
function with_table(PDO $database, callable $work): mixed
{
    try {
        return $work($database);
    } catch (PDOException $error) {
        if ($error->getCode() !== '42S02') { // no such table
            throw $error;
        }
    }
    $database->exec('CREATE TABLE IF NOT EXISTS notes (
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        text VARCHAR(' . NOTE_LENGTH_MAX . ') NOT NULL,
        written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) CHARACTER SET utf8mb4');
    return $work($database);
}

function add_note(string $text): callable
{
    return fn (PDO $database) =>
        $database->prepare('INSERT INTO notes (text) VALUES (?)')->execute([$text]);
}

function latest_notes(): callable
{
    return fn (PDO $database) =>
        $database->query('SELECT text, written FROM notes ORDER BY id DESC LIMIT 50')
                 ->fetchAll(PDO::FETCH_ASSOC);
}

function html(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

$database = database();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (preg_match('/\S.{0,' . NOTE_LENGTH_MAX - 1 . '}/su', (string) ($_POST['text'] ?? ''), $match)) {
        with_table($database, add_note($match[0]));
    }
    header('Location: ' . setting('WWWROOT') . '/', true, 303);
    exit;
}
$notes = with_table($database, latest_notes());
$organisation = setting('ORGANISATION');
header('Content-Type: text/html; charset=utf-8');
?>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notes of <?= html($organisation) ?></title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<h1><?= html($organisation) ?></h1>
<p><a href="<?= html(setting('WWWROOT')) ?>/"><?= html(setting('WWWROOT')) ?></a></p>
</header>
<main>
<form method="post" action="/">
<label for="text">A new note</label>
<input id="text" name="text" required maxlength="<?= NOTE_LENGTH_MAX ?>" autocomplete="off">
<button>Add</button>
</form>
<h2>Notes</h2>
<?php if (!$notes): ?>
<p class="empty">Nothing written yet.</p>
<?php else: ?>
<ol>
<?php foreach ($notes as $note): ?>
<li><?= html($note['text']) ?> <time><?= html($note['written']) ?></time></li>
<?php endforeach ?>
</ol>
<?php endif ?>
</main>
<footer>Database <?= html(setting('DBNAME')) ?>. Made by PHP worker <?= getmypid() ?>, which the
organisations share.</footer>
</body>
</html>
