"""Remove secrets from messages: user info of URLs, passwords, tokens, cloud keys, bound SQL parameters."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["REDACTED", "scrub"]

REDACTED = "[redacted]"
"""The replacement for a secret."""

# The patterns are strings, which are compiled at the first failure and not when a decorator is imported. They take
# linear time: a run of characters is matched only from its start (hence the lookbehinds), or its length is bounded.

_PEM = r"(?s)-----BEGIN [A-Z0-9 ]{1,60}-----.*?(?:-----END [A-Z0-9 ]{1,60}-----|\Z)"

_BASE64 = r"[A-Za-z0-9+/]"
_TOKENS = (  # secrets that are recognized by their format
    r"eyJ[\w\-]{8,}(?:\.[\w\-]*){0,4}"  # JSON Web Tokens
    r"|(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA)[A-Z0-9]{8,}"  # AWS; a secret key may follow its id
    rf"""(?:["'\s,:/]{{1,6}}(?:[Ss]ecret\w{{0,20}}["'\s:=]{{1,6}})?{_BASE64}{{40}}(?![\w+/=]))?"""
    r"|gh[a-z]_\w{16,}|github_pat_\w{16,}|glpat-[\w\-]{16,}"
    r"|xox[a-z][\-.][\w\-.]{8,}|xapp-[\w\-]{8,}"
    r"|AIza[\w\-]{20,}|AQ\.Ab[\w\-]{20,}|ya29\.[\w.\-]{8,}|1//0[\w\-]{20,}|GOCSPX-[\w\-]{8,}"
    r"|(?:sk|rk|pk)_(?:live|test)_\w{8,}|whsec_\w{8,}|sk-[\w\-]{16,}"
    r"|SG\.[\w\-]{16,}(?:\.[\w\-]{16,})?|npm_\w{30,}|pypi-[\w\-]{16,}|hf_\w{20,}|dapi[0-9a-f]{32}\S{0,2}"
    r"|do[opr]_v1_[0-9a-f]{32,}|hv[sbr]\.[\w\-]{20,}|shp[a-z]{2}_[0-9a-f]{32}|SK[0-9a-f]{32}|key-[0-9a-f]{32}"
    r"|gl(?:sa|c)_[\w=]{20,}|ATATT3[\w\-=]{20,}|NRAK-\w{20,}|AGE-SECRET-KEY-1\w{20,}|\w{14}\.atlasv1\.\w{20,}"
    r"|dckr_pat_[\w\-]{16,}|lin_api_\w{20,}|rubygems_[0-9a-f]{32,}|pul-[0-9a-f]{40}|sntry[su]_[\w=+/]{20,}"
    r"|dp\.[a-z]{2}\.\w{20,}|tskey-[\w\-]{10,}"
    r"|ver:\d-hint:\d{1,20}-[\w+/=\-]{20,}"  # Snowflake
    rf"|{_BASE64}{{86}}==|[\w~.\-]{{3}}8Q~[\w~.\-]{{30,}}"  # keys of Azure storage accounts, Azure client secrets
)
_TOKEN = rf"(?<![\w+/\-])(?:{_TOKENS})"
_WEBHOOK = (
    r"(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/"
    r"|api\.telegram\.org/bot)[\w/@:\-]+"
)
_BEARER = (
    r"(?i)\b(bearer)\s+(?!tokens?\b|auth|realm|scope|error|header|scheme)[\w.~+/\-]{4,}=*"
    r"|\b(basic)\s+(?=[a-z+/]{0,999}[0-9=])[a-z0-9+/]{6,}={0,2}"
)

_SCHEME = r"(?<![\w+.\-])([A-Za-z][\w+.\-]{0,40}://)"
# In these an @ in the path is not the end of a login; in those of the second pattern a container comes before the @.
_NO_DATABASE = r"(?:https?|wss?|git|ssh|s3\w?|gs|file|hdfs|dbfs|docker|oci)://"
_CONTAINER = r"(?:abfss?|wasbs?)://"
_ENCODED_LOGIN = r"""(?i)(%3A%2F%2F)(?!\[red)(?:(?!%2F|%3F|%23)[^\s&"'])+(?=%40)"""
_DSN = (
    r"""(?<![\w:@.\-])(?!\d\d?:\d\d@)([\w.+\-]{1,64}:)(?!\[red)"""
    r"""[^\s:@/'"]{1,256}@(?:[^\s:@/'"]{0,64}@)?(?!sha\d+:)(?=[\w\[(])"""
)
_ORACLE = (
    r"""(?<![\w/@.\-])([A-Za-z][\w$#]{0,30}/)(?!\[red)(?:"[^"\n]{1,64}"|[^\s/@"']{1,64})@"""
    r"(?=//|(?!sha\d+:)[\w.\-]{1,99}(?::\d|/\w))"
)

# Parts of names whose values are secret, without `_`, `-` and `.`. Those of the second pattern also occur in sentences
# ("function signature: ..."), so they count only in front of a `=`, or as a quoted key.
_SECRET_NAME = (
    r"passw|passphrase|pwd|secret(?!s?manager|ar(?:y|ies))|token(?!iz)|authorization|cookie|connectionstring|clientassertion"
    r"|(?:api|app|access|account|admin|auth|consumer|private|master|encryption|signing|shared|subscription|storage|license|fernet|ingestion)key(?!word)"
    r"|otlp(?:traces|metrics|logs)?headers$|honeycombteam"
)
_ASSIGNED_NAME = r"signature$|credential|(?:^|amz|goog)security|^(?:auth|sig|sas|sid)$|accesskeyid|session(?:id|key)"
_LAST_WORD = r"(?:^|[_.\-])(?i:pass|pw|psw)$|[a-z](?:Pass|Pw|PW)$"  # DB_PASS, dbPass, but not `bypass`
_OTHER_NAME = (  # such as token_uri, password_file
    r"(?:file|path|dir|uri|url|endpoint|(?<!user)name|type|count|limit|length|size|budget|usage|expir\w{0,9}|expiresin"
    r"|ttl|provider|version|position|index|column|field|required|enabled)$"
)
_NAMED = (
    r"(?<![\w.\-])([\w.\-]{1,100})"
    r"""(\\*["'`]?(?:%2[27])?\]?[ \t\xa0]{0,3}(?:=>|:=|={1,2}|[:\uff1a]|%3[DdAa])"""
    r"""[ \t\xa0]{0,3}(?:[>|][+\-]?(?=\n))?(?:\r?\n)?[ \t]{0,40}"""
    r"""|["']?[,\n]?(?<=["',\n])\s{0,40}["']?[Vv]alue["']?\s?[:=]\s?"""  # the name is itself a value
    r"""|\\*["'][ ]?,[ ]?(?=[bu]?\\*["'])|>(?=[^\s<]))"""
)
_SPACED = (
    r"(?i)(?<![\w.\-])(--?[\w\-]{2,60}(?=[ \t]{1,3}[^\s\-])"
    r"""|(?:passw\w{0,20}|pwd|passphrase|api[ _\-]?key)(?:[ ](?:is|was))?(?=[ \t]{1,3}["'])"""
    r"""|api[ _\-]?key[ ]provided(?=:))(:?[ \t]{1,3})"""
)
_IDENTIFIED = (
    r"""\b((?i:IDENTIFIED BY)\s+|SECRET\s+|KEY_ID\s+)"""
    r"""(?:'(?!\?')[^'\n]*'?|"[^"\n]*"?|(?<=BY )(?!VALUES|\[red)[^\s;'",)]+)"""
)
_LOGIN_OPTION = r"""((?<![\w\-])(?:-u|--user|--proxy-user)(?:["']?,)?[ =]["']?)(?!\[red)[^\s:"']{1,64}:[^\s"']+"""

_LOGIN_CALL = (  # a function of code that takes a password by position
    r"""\b(?:\w{0,40}(?:Basic|Digest|Proxy)Auth|(?:set|with|use)_?\w{0,40}(?i:password|token|secret|api_?key)"""
    r"""|Secret(?:Str|Bytes))\((?=[bru]?["'][^*])"""
)
# Programs that take a password in an option of one letter, or as USER/PASSWORD; and cookies of a jar.
_COMMAND = (
    r"""((?:\b(?:mysql|mariadb)[\w\-]{0,20}(?=[\s"'])[^\n\[]{0,300}?[\s"']-p|\bsshpass["',\s]{1,4}-p["',\s]{0,4}"""
    r"""|\b(?:docker|podman|az)["',\s]{1,4}login(?=[\s"'])[^\n\[]{0,300}?[\s"']-p["',\s]{1,4}"""
    r"""|\b(?:sqlcmd|bcp)(?=[\s"'])[^\n\[]{0,300}?[\s"']-P["',\s]{1,4}|\bredis-cli(?=[\s"'])[^\n\[]{0,300}?[\s"']-a["',\s]{1,4}"""
    r"""|\b(?:sqlplus|sqlldr|expdp|impdp)(?=[\s"'])[^\n\[]{0,300}?[\s"'][A-Za-z][\w$#]{0,30}/"""
    r"""|<Cookie [^\s=<>]{1,100}=))(?!\[red)[^\s"'@,][^\s"'@]*"""
)

_EXEMPT = r"""(?i)["']?(?:true|false|yes|no|none|null|nil|undefined|\*+|\.{3}|…)?["']?\Z|["']?\[redacted\]"""
_QUOTED = r"""(?s)[bBfFrRuU]{0,2}(?:"(?:[^"\\]|""|\\.)*"|'(?:[^'\\]|''|\\.)*'|`[^`]*`)"""
_CALL = r"[A-Za-z_][\w.]{0,100}\("
_BRACED = r"\{(?:[^}\n]|\}\})*\}(?!\})"
_BARE = (  # up to a space, to a quote, or to a separator in front of another name
    r"(?i:(?:bearer|basic|digest|negotiate|token|apikey|sharedkey|jwt)[ ]+(?=[^\s=]))?"
    r"""(?:[^\s,;&"'`<>()\[\]{}\\]|\\(?![nrt"'])|[,;&](?!\s{0,8}[\w.\-%\[\] ]{1,64}(?:=|:|%3D)|\s|\Z)"""
    r"""|["'`()\[\]{}](?=\w))+"""
)
_ENCODED = r"""%22(?:(?!%22)[^\s&;"'<>])*(?:%22)?|(?:(?!%3[Bb]|%26|%0[AaDd])[^\s&;"'<>])+"""
_HEADER = r"""[^\n\r"'}]+"""
_UP_TO_SEMICOLON = r"""[^;\n"']+"""
_REST_OF_LINE = r"[^\n]*"
_BRACKETS = r"""[\[\](){}]|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?"""

_PARAMETERS = (
    r"\[(?:\w{1,20} )?param(?:eter)?s: |(?i:\b(?:bind|bound|query|sql|with)[ _](?:bind |bound )?param(?:eter)?s?"
    r"|\bparam(?:eter)?s(?==))\s?[=:]?\s?(?=[(\[{])"
)
_STATEMENT = r"\[SQL: |LINE \d+: |Execution failed on sql '|Execution failed on sql: |== SQL ==\n"
_LITERAL = r"'(?:[^'\\]|''|\\.)*(?:'|\Z)"
_ROW = (
    r"(?s)(Failing row contains |duplicate key value is |dup key: |keyValue'?: )"
    r"(?!.\[redacted\])[({].*?(?:[)}](?=\.?\s|\.?\Z|, ['(]|\}|\))|\Z)"
)
_DETAIL = (  # the value ends at the last of these endings on the line
    r"""(Key \([^\n=]{1,300}\)=\(|Duplicate entry \\?['"]|Duplicate key "|COPY [^\n]{1,200}: "|column values \("""
    r"|query argument \$\d+: |input_value=)"
    r"([^\n]*)"
)
_ENDINGS = (
    *(") already exists", ") is not present", ") is still", ") conflicts", ")=("),
    *("' for key", '" for key', '" violates', ", input_type=", " (", '"', ")"),
)

_QUOTED_DATA = (  # a parameter of a statement, or a header of a request
    r"""(?i)((?:header value:?|invalid input (?:syntax|value) for [\w ]{1,60}:|(?:incorrect|bad) \w{1,20} value:"""
    r"""|converting the \w{1,20} value|could not convert string|numeric value)[ ]{1,2}b?)"""
    r"""(["'])(?!\[red)(?:(?!\2)[^\n\\]|\\.)*\2?"""
)
_HEADER_PART = r"Header part \((?!\[red)[^\n]{1,999}?\) from \(([^\n,]{1,99}, )[^\n]{1,999}\)(?= must)"
_PIPELINE = r"(Command # \d{1,9} \(\w{1,30} )(?!\[red)[^\n]{1,999}?(?=\) of pipeline)"

_PASSES = 4  # a replacement can be part of another secret; two passes are enough for most messages


def scrub(text: str) -> str:
    """Return a message with `[redacted]` in place of the secrets in it.

    These are secrets: the user info of URLs and DSNs; the values of names such as `password`, `token`, `api_key` and
    `Authorization` in the notations of Python, JSON, URLs, headers and connection strings; tokens and cloud keys in a
    known format; PEM blocks; bound SQL parameters; literals in SQL statements; and the values that databases quote
    (`Key (email)=(...)`). Hosts, databases, tables and error codes are kept. Scrubbing a result again changes nothing.

    Args:
        text: The message, of any length. The time is linear in the length.
    """
    previous, passes = "", 0
    while text != previous and passes < _PASSES:
        previous, text, passes = text, _scrub_once(text), passes + 1
    return text


def _scrub_once(text: str) -> str:
    if "-----BEGIN" in text:
        text = re.sub(_PEM, REDACTED, text)
    text = _scrub_data(text)
    if "://" in text:
        before, *pairs = re.split(_SCHEME, text)
        text = before + "".join(map(_scrub_url, pairs[::2], pairs[1::2]))
    if "@" in text:
        text = re.sub(_ORACLE, rf"\1{REDACTED}@", re.sub(_DSN, rf"\1{REDACTED}@", text))
    text = re.sub(_ENCODED_LOGIN, rf"\1{REDACTED}", text)
    text = re.sub(_TOKEN, REDACTED, text)
    text = re.sub(_WEBHOOK, rf"\1{REDACTED}", text)
    text = _scrub_values(_NAMED, text)
    text = _scrub_values(_SPACED, text)
    text = re.sub(_LOGIN_OPTION, rf"\1{REDACTED}", text)
    text = _replace_each(_LOGIN_CALL, text, _end_of_arguments, lambda value: REDACTED)
    text = re.sub(_COMMAND, rf"\1{REDACTED}", text)
    text = re.sub(_IDENTIFIED, rf"\1{REDACTED}", text)
    return re.sub(_BEARER, lambda match: f"{match[1] or match[2]} {REDACTED}", text)


def _scrub_data(text: str) -> str:
    """Remove bound parameters, literals in quoted statements, and values that a database or a client quotes."""
    text = _replace_each(_PARAMETERS, text, _end_of_parameters, lambda value: REDACTED)
    text = _replace_each(_STATEMENT, text, _end_of_statement, lambda value: re.sub(_LITERAL, "'?'", value))
    text = re.sub(_QUOTED_DATA, rf"\1\2{REDACTED}\2", text)
    text = re.sub(_HEADER_PART, rf"Header part ({REDACTED}) from (\1{REDACTED})", text)
    text = re.sub(_PIPELINE, rf"\1{REDACTED}", text)
    return re.sub(_DETAIL, _scrub_detail, re.sub(_ROW, rf"\1({REDACTED})", text))


def _replace_each(
    pattern: str, text: str, find_end: Callable[[str, re.Match[str]], int], replace: Callable[[str], str]
) -> str:
    """Replace the text after each match of a pattern, up to the end that a function finds."""
    parts, position = [], 0
    for match in re.finditer(pattern, text):
        if match.start() >= position and not text.startswith(REDACTED, match.end()):
            end = find_end(text, match)
            parts += [text[position : match.end()], replace(text[match.end() : end])]
            position = end
    return "".join(parts) + text[position:]


def _end_of_parameters(text: str, match: re.Match[str]) -> int:
    is_open = match[0].startswith("[")
    end = _end_of_brackets(text, match.start() if is_open else match.end())
    return end - 1 if is_open and end < len(text) + text.endswith("]") else end


def _end_of_arguments(text: str, match: re.Match[str]) -> int:
    end = _end_of_brackets(text, match.end() - 1)
    return end - text.startswith(")", end - 1)


def _end_of_statement(text: str, match: re.Match[str]) -> int:
    if match[0].startswith("LINE"):
        return _match_end(_REST_OF_LINE, text, match.end())
    if not match[0].startswith("["):
        end = text.find("': " if match[0].endswith("'") else "\n---", match.end())
        return len(text) if end < 0 else end
    end = text.find("]\n", match.end())
    return _end_of_brackets(text, match.start()) if end < 0 else end


def _end_of_brackets(text: str, start: int) -> int:
    """Return the end of the bracket that opens at *start*; brackets in quoted strings do not count."""
    depth = 0
    for token in re.compile(_BRACKETS).finditer(text, start):
        depth += (token[0] in "([{") - (token[0] in ")]}")
        if not depth:
            return token.end()
    return len(text)


def _scrub_detail(match: re.Match[str]) -> str:
    """Remove a value that a database quotes. It ends at the last ending on the line, because it may contain others."""
    before, rest = match.groups()
    for ending in _ENDINGS:
        if (at := rest.rfind(ending)) >= 0:
            tail = ") conflicts with an existing key" if "conflicts" in ending else rest[at:]
            return f"{before}{REDACTED}{tail}"
    return f"{before}{REDACTED}"


def _scrub_url(scheme: str, after: str) -> str:
    """Remove the user info of a URL. The password may contain any character, although it should be encoded.

    Args:
        scheme: The scheme with its `://`.
        after: The text from there to the next URL.
    """
    chunk = re.split(r"""[\s"'<>`\\]""", after, maxsplit=1)[0]
    authority = re.split("[/?#]", chunk, maxsplit=1)[0]
    at = authority.rfind("@")
    has_login = re.match(r"[^\s:/@\[\]{]{0,99}:(?!\d{1,5}(?![^\s/?#,;)\]}.'\"]))[^\s/,;)\]}.'\"{]", chunk)
    if re.fullmatch(_CONTAINER, scheme, re.IGNORECASE):
        return scheme + after
    path = chunk.partition("?")[0]
    is_web = re.fullmatch(_NO_DATABASE, scheme, re.IGNORECASE)
    if not is_web and ":" in authority:
        at = max(at, path.rfind("@"))
    if at < 0 and has_login:
        at = path.rfind("@")
        if at < 0 and "=" not in chunk[len(path) : chunk.rfind("@")]:
            at = chunk.rfind("@")
    if at < 0 and has_login:
        at = _match_end(r"[^\n@]{1,200}(?=@)", after, 0) or -1
    if at < 0 and has_login and not is_web:  # a login without a host, or one that is cut
        at = _match_end(r"[^\s/?#'\"]+", after, 0)
    return scheme + after if at < 0 else f"{scheme}{REDACTED}{after[at:]}"


def _scrub_values(pattern: str, text: str) -> str:
    """Remove the values of secret names.

    Args:
        pattern: The first group matches a name, and the second one the separator between the name and its value.
        text: The text.
    """
    parts, position = [], 0
    for match in re.finditer(pattern, text):
        if match.start() < position or not _is_secret(match, text):
            continue
        start, end = match.end(), _end_of_value(match, text)
        value = text[start:end]
        if not value or re.match(_EXEMPT, value) or ("token" in match[1].lower() and re.fullmatch(r"\d{1,7}", value)):
            continue
        parts += [text[position:start], REDACTED]
        position = end
    return "".join(parts) + text[position:]


def _is_secret(match: re.Match[str], text: str) -> bool:
    """Return whether the value of a name is secret."""
    name, separator = match.groups()
    plain = re.sub(r"[_.\- ]", "", name).lower()
    before = text[max(0, match.start() - 12) : match.start()]
    if re.search(_OTHER_NAME, plain):
        return False
    if separator == ":" and (before.endswith(":") or text.startswith("//", match.end())):  # an ARN; a URL
        return False
    if separator == ">" and not before.endswith("<"):
        return False
    if (
        "," in separator
        and not name.startswith("-")
        and "alue" not in separator
        and not re.search(r"""[(\[]\\*[bu]?\\*["']\Z""", before)
    ):
        return False
    if re.search(_SECRET_NAME, plain):
        return not re.search(r"(?i)(?:expected|illegal|stray) \Z", before)  # of a parser
    if "=" in separator or "%" in separator or not separator.strip() or separator[0] in "\\\"'`>":
        is_key_of_query = plain == "key" and before.endswith(("?", "&"))
        return bool(is_key_of_query or re.search(_ASSIGNED_NAME, plain) or re.search(_LAST_WORD, name))
    return plain == "key" and bool(re.search(r"(?i)(?:api|access|account|private|secret|license|fernet) \Z", before))


def _end_of_value(match: re.Match[str], text: str) -> int:
    """Return the end of the value of a name."""
    name, separator, start = match[1].lower(), match[2], match.end()
    if ":" in separator and (default := re.compile(r"""[A-Za-z_][\w.\[\]| ]{0,40}=\s?(?=["'])""").match(text, start)):
        start = default.end()  # an annotated argument: the default value
    if escaped := re.compile(r"""[bu]?(\\+["'])""").match(text, start):
        end = text.find(escaped[1], escaped.end())
        return end + len(escaped[1]) if end >= 0 else _match_end(_REST_OF_LINE, text, start)
    if end := _match_end(_QUOTED, text, start) or ("=" in separator and _match_end(_BRACED, text, start)):
        return end
    if text.startswith(("(", "[", "{"), start):
        return _end_of_brackets(text, start)
    if call := re.compile(_CALL).match(text, start):  # such as SecretStr("hunter2")
        return _end_of_brackets(text, call.end() - 1)
    if text.startswith(("'", '"'), start):  # the closing quote is missing
        return _match_end(_REST_OF_LINE, text, start)
    if "%" in separator:
        return _match_end(_ENCODED, text, start)
    if separator == ">":
        return _match_end("[^<]*", text, start)
    if ":" in separator and ("cookie" in name or re.compile("(?i)digest|aws4|sharedkey").match(text, start)):
        return _match_end(_HEADER, text, start)
    if "=" in separator and re.search(r";\s?\Z", text[max(0, match.start() - 2) : match.start()]):
        end = _match_end(_UP_TO_SEMICOLON, text, start)  # of a connection string, where a value may hold spaces
        if text[end : end + 1] not in ("", "\n"):
            return end
    return _match_end(_BARE, text, start)


def _match_end(pattern: str, text: str, start: int) -> int:
    """Return where a match that begins at *start* ends; 0 if there is none."""
    match = re.compile(pattern).match(text, start)
    return match.end() if match else 0
