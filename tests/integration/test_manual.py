"""The manual pages say what the programs take: every option, verb and key, and the names that are
reserved. They are laid out without a warning by both programs that people read them with."""

import json
import re
import subprocess

import pytest
from support.fpmux import SOURCE, build_directory

PAGES = {path.name: path for path in SOURCE.glob("*/*.[158]")}
SCHEMA = json.loads((SOURCE / "tenants/schema/tenant.schema.json").read_text())
VERBS = ("tenant", "check", "usage", "export", "ledger", "audit", "exec", "cron", "build", "plan", "up",
         "down", "ps", "watch")
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][a-z-]*")


def output(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done
    return done.stdout


def page(name):
    """As a reader sees it, in one line: without overstrikes and breaks."""
    text = re.sub(".\b", "", output("mandoc", "-T", "utf8", "-O", "width=1000", str(PAGES[name])))
    return re.sub(r"\s+", " ", re.sub(r"-\n\s+", "-", text))


def help_of(program, *words):
    return output(str(build_directory() / program), *words, "--help")


def options_in(text):
    return set(OPTION.findall(text))


def keys_of(source):
    """The keys in the tables of fields of a reader's source."""
    text = (SOURCE / source).read_text()
    keys = re.findall(r'^ *\{"([\w-]+)",\s+FIELD_', text, re.MULTILINE)
    assert len(keys) > 10
    return keys


def explained(name):
    """The words at the head of the entries in a page's lists."""
    lines = re.findall(r"^\.It (.*)$", PAGES[name].read_text(), re.MULTILINE)
    return {word for line in lines for word in re.findall(r"[\w-]+", line)}


def test_all_pages_are_there():
    assert set(PAGES) == {"fpmux.8", "fpmux.json.5", "fpmux-rates.5", "fpmux-tenant.5",
                          "fpmuxctl.1"}


@pytest.mark.parametrize("name", PAGES)
def test_page_has_no_warning(name):
    for command in (["mandoc", "-T", "lint", "-W", "warning"],
                    ["groff", "-ww", "-mandoc", "-T", "utf8", "-z"]):
        done = subprocess.run([*command, str(PAGES[name])], capture_output=True, text=True,
                              check=False, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", PAGES)
def test_references_among_the_pages_lead_somewhere(name):
    pages = {f"{title}.{section}" for title, section in
             re.findall(r"^\.Xr (fpmux\S*) (\d)", PAGES[name].read_text(), re.MULTILINE)}
    assert pages == set(PAGES) - {name}


def test_daemon_options_are_those_of_its_help():
    wanted = options_in(help_of("fpmux"))
    assert wanted
    assert wanted == options_in(page("fpmux.8"))


@pytest.mark.parametrize("verb", VERBS)
def test_options_of_each_verb_are_in_the_manual(verb):
    wanted = options_in(help_of("fpmuxctl", verb)) | options_in(help_of("fpmuxctl"))
    assert wanted
    assert wanted <= options_in(page("fpmuxctl.1"))


def test_manual_has_no_option_that_the_tool_lacks():
    known = options_in(help_of("fpmuxctl")).union(
        *(options_in(help_of("fpmuxctl", verb)) for verb in VERBS))
    assert options_in(page("fpmuxctl.1")) <= known


def test_verbs_are_in_the_manual():
    listed = re.findall(r"^  ([a-z]\w+) +[a-z]", help_of("fpmuxctl"), re.MULTILINE)
    assert set(listed) == set(VERBS)
    below_tenant = re.findall(r"fpmuxctl tenant (\w+)", help_of("fpmuxctl", "tenant"))
    assert len(set(below_tenant)) >= 8
    manual = page("fpmuxctl.1")
    for verb in VERBS:
        assert re.search(rf"fpmuxctl {verb}\b", manual)
    for verb in below_tenant:
        assert f"tenant {verb}" in manual


@pytest.mark.parametrize("key", sorted({*keys_of("tenants/config.c"),
                                        *keys_of("tenants/containers_config.c")}))
def test_key_of_the_configuration_is_explained(key):
    assert key in explained("fpmux.json.5")
    assert f'"{key}":' in (SOURCE / "tenants/examples/fpmux.json").read_text()


@pytest.mark.parametrize("key", keys_of("tenants/rates.c"))
def test_key_of_the_rates_is_explained(key):
    assert key in explained("fpmux-rates.5")


def schema_keys(node):
    for key, value in node.get("properties", {}).items():
        yield key
        yield from schema_keys(value)


def test_names_of_the_first_script_are_in_the_manual():
    source = (SOURCE / "tenants/cli/verbs.c").read_text()
    aliases = re.findall(r'\{"(\w+)", \{(.*?), NULL\}\}', source)
    assert len(aliases) == 8
    table = (PAGES["fpmuxctl.1"]).read_text().split(".Bl -column", 1)[1].split(".El", 1)[0]
    rows = [re.sub(r"\b(?:Cm|Fl Fl) ?|Op Ar unit \.\.\.|Ar id", "", row).split("Ta")
            for row in table.split(".It ")[1:]]
    told = {name.strip(): words.split() for name, words in rows}
    assert told == {name: re.findall(r'"-*([\w]+)"', words) for name, words in aliases}


@pytest.mark.parametrize("key", sorted({*keys_of("tenants/tenant.c"), *schema_keys(SCHEMA)}))
def test_key_of_a_tenant_is_explained(key):
    assert key in explained("fpmux-tenant.5")


@pytest.mark.parametrize("key", sorted(set(keys_of("tenants/tenant.c")) - {"token"}))
def test_key_of_a_tenant_is_in_the_example(key):
    """All but the token, which the example's own socket makes needless."""
    assert f'"{key}":' in (SOURCE / "tenants/examples/centro1.json").read_text()


def test_reserved_names_are_listed():
    definitions = SCHEMA["definitions"]
    prefixes = definitions["reserved_prefix"]["pattern"].removeprefix("^(").removesuffix(")")
    manual = page("fpmux-tenant.5")
    names, begins = re.search(r"gives it a meaning: (.*) and all that begin with (.*?)\.",
                              manual).groups()
    assert names.rstrip(",").split(", ") == definitions["reserved_name"]["enum"]
    assert begins.split(", ") == prefixes.split("|")


@pytest.mark.parametrize("source", ["tenants/config.c", "tenants/containers_config.c"])
def test_defaults_are_those_of_the_source(source):
    """Numbers and paths of the built-in defaults stand in the page."""
    text = re.search(r"defaults\[\] =(.*?);\n", (SOURCE / source).read_text(), re.DOTALL).group(1)
    defaults = json.loads("".join(re.findall(r'"((?:\\.|[^"\\])*)"', text)).replace('\\"', '"'))
    manual = page("fpmux.json.5")

    def leaves(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [leaf for item in value for leaf in leaves(item)]
        return [str(value)]

    for leaf in leaves(defaults):
        assert leaf in manual, leaf


def test_examples_of_the_pages_are_right(tmp_path):
    """What the pages of section 5 show is taken by --check and check."""
    def examples(name):
        blocks = re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", PAGES[name].read_text(),
                            re.MULTILINE | re.DOTALL)
        return [json.loads(text if text.startswith("{") else f"{{{text.rstrip().rstrip(',')}}}")
                for text in blocks]

    secret = tmp_path / "secret"
    secret.write_text("x\n")
    secret.chmod(0o600)
    config, over_tcp, containers = examples("fpmux.json.5")
    config.update(over_tcp | containers, registry=f"dir:{tmp_path}/tenants")
    config["pools"]["default"]["php"] = {"memory_limit": "128M"}
    (rates,) = examples("fpmux-rates.5")
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    config["rates"] = f"{tmp_path}/rates.json"
    (tenant,) = examples("fpmux-tenant.5")
    tenant["params"]["DBPASS"]["file"] = str(secret)
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "centro1.json").write_text(json.dumps(tenant))
    path = tmp_path / "fpmux.json"
    path.write_text(json.dumps(config))
    done = output(str(build_directory() / "fpmux"), "--config", str(path), "--check")
    assert "1 tenants, 0 in error" in done
    output(str(build_directory() / "fpmuxctl"), "--config", str(path), "check")
