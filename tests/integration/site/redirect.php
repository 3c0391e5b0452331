<?php
header('X-Before: 1');
header('Location: /hello.php?from=redirect', true, 303);
echo 'see other';
