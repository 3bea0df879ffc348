//! The configuration file: what is accepted, and what is said, and where, about what is not.

use std::time::Duration;

use control::file::{self, FileError, Loaded, Style};
use control::schema::{AdminAuth, ProcessSettings};
use lb::model::{
    AccessLogDestination, AccessLogFormat, Algorithm, CookieName, Global, HashKey, HealthCheck, HealthCheckProtocol,
    HttpQuestion, OnUnavailable, ProbePort, Stickiness, StickyBy, WhenAllUnhealthy,
};

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8081".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Loaded, FileError> {
    file::parse("elbow.toml", text, &environment)
}

/// Each mistake with what is said about it, in the plain rendering.
const MISTAKES: &[(&str, &str)] = &[
    // No TOML.
    ("[listener", "elbow.toml:1:10: unclosed table, expected `]`"),
    ("a = 1\na = 2\n", "elbow.toml:2:1: duplicate key"),
    ("[admin]\nlisten = \"127.0.0.1:1", "elbow.toml:2:22: invalid basic string, expected `\"`"),
    // Unknown keys.
    ("[admim]\n", "elbow.toml:1:2: unknown key `admim`\n  hint: did you mean `admin`?"),
    ("[admin]\nlisen = \"off\"\n", "elbow.toml:2:1: unknown key `lisen`\n  hint: did you mean `listen`?"),
    ("[limits]\n\"a/b~c\" = 1\n", "elbow.toml:2:1: unknown key `a/b~c`\n  hint: known here are connections_max"),
    (
        "[[target_group]]\nname = \"app\"\n[target_group.health_check]\ninterval-ms = 5\n",
        "elbow.toml:4:1: unknown key `interval-ms`\n  hint: did you mean `interval`?",
    ),
    (
        "target_group = [{ name = \"a\", tagret = [] }]",
        "elbow.toml:1:31: unknown key `tagret`\n  hint: did you mean `target`?",
    ),
    // Missing keys.
    (
        "[[listener]]\nname = \"web\"\n\n[[target_group]]\nname = \"app\"\n[[target_group.target]]\nid = \"a\"\n",
        "elbow.toml:1:1: `bind` is missing\nelbow.toml:1:1: `target_group` is missing\nelbow.toml:6:1: `address` is missing",
    ),
    // Values of another kind.
    (
        "[workers]\ncount = \"4\"\n",
        "elbow.toml:2:9: expected a whole number from 0 to 1024, found a string\n  hint: write 4, without quotes",
    ),
    ("[workers]\ncount = 2000\n", "elbow.toml:2:9: 2000 is out of range: expected a whole number from 0 to 1024"),
    ("[workers]\ncount = -1\n", "elbow.toml:2:9: -1 is not a whole number from 0 to 1024"),
    ("[workers]\ncount = 1979-05-27\n", "elbow.toml:2:9: no key takes a date or time\n  hint: put it in quotes"),
    ("[limits]\nconnections_max = 99999999999999999999\n", "elbow.toml:2:19: the number is too large"),
    ("admin = 3\n", "elbow.toml:1:9: expected a table, found a number"),
    (
        "[listener]\nname = \"web\"\n",
        "elbow.toml:1:1: expected a list of tables, found a table\n  hint: write [[listener]], with double brackets",
    ),
    // Durations and sizes.
    (
        "[shutdown]\ntimeout = 30\n",
        "elbow.toml:2:11: a duration is a string with a unit\n  hint: write \"30s\" for seconds, or \"30ms\"",
    ),
    (
        "[shutdown]\ntimeout = \"30\"\n",
        "elbow.toml:2:11: \"30\" is not a duration\n  hint: write it as in \"250ms\", \"30s\", \"5m\" or \"1h\"",
    ),
    (
        "[shutdown]\ntimeout = \"1m30s\"\n",
        "elbow.toml:2:11: \"1m30s\" is not a duration\n  hint: write it as in \"250ms\", \"30s\", \"5m\" or \"1h\"",
    ),
    ("[shutdown]\ndelay = \"2h\"\n", "elbow.toml:2:9: 2h is out of range: expected 0s to 1h"),
    (
        "[shutdown]\ndelay = \"99999999999999999999h\"\n",
        "elbow.toml:2:9: \"99999999999999999999h\" is not a duration\n  hint: write it as in \"250ms\", \"30s\", \"5m\" or \"1h\"",
    ),
    (
        "[shutdown]\ndelay = \"9999999999999999h\"\n",
        "elbow.toml:2:9: 9999999999999999h is out of range: expected 0s to 1h",
    ),
    // The admin address.
    (
        "[admin]\nlisten = \":9900\"\n",
        "elbow.toml:2:10: \":9900\" is not an address to listen on\n  hint: write \"0.0.0.0:9900\" for every address of this machine",
    ),
    (
        "[admin]\nlisten = \"localhost:9900\"\n",
        "elbow.toml:2:10: \"localhost:9900\" is not an address to listen on\n  hint: write \"127.0.0.1:9900\"",
    ),
    (
        "[admin]\nlisten = \"0.0.0.0:9900\"\nauth = \"none\"\n",
        "elbow.toml:3:8: without a token the admin API listens on loopback only, not on 0.0.0.0:9900\n  hint: write auth = \"required\", or listen = \"127.0.0.1:9900\"",
    ),
    // Of a later version.
    (
        "[admin]\ncertificate = \"web\"\n",
        "elbow.toml:2:15: the admin address is to show certificate web, which does not exist\n  hint: declare it with [[certificate]]",
    ),
    (
        "[instances]\n\"i-1\" = \"10.0.0.1:80\"\n",
        "elbow.toml:2:9: \"10.0.0.1:80\" is not an address: an IPv6 address needs brackets, as in [::1]:80\n  hint: write it as in \"i-87f232ed\" = \"10.0.0.11\", or \"i-87f232ed\" = { address = \"10.0.0.11\", zone = \"us-east-1a\" }",
    ),
    (
        "[instances]\n\"i-1\" = { address = \"10.0.0.1\", zones = \"us-east-1a\" }\n",
        "elbow.toml:2:41: unknown key `zones`\n  hint: write it as in \"i-87f232ed\" = \"10.0.0.11\", or \"i-87f232ed\" = { address = \"10.0.0.11\", zone = \"us-east-1a\" }",
    ),
    ("[elb_api]\nbind = \"everywhere\"\n", "elbow.toml:2:8: \"everywhere\" is not a network such as 10.0.0.0/8"),
    // Variables.
    (
        "[admin]\nlisten = \"127.0.0.1:${ADMIN}\"\n",
        "elbow.toml:2:10: the environment variable ADMIN is not set\n  hint: set it, or write ${ADMIN:-default}",
    ),
    (
        "[admin]\nlisten = \"127.0.0.1:${ADMIN\"\n",
        "elbow.toml:2:10: `${` has no closing `}`\n  hint: write `$${` for a plain `${`",
    ),
    (
        "[admin]\nlisten = \"${A B}\"\n",
        "elbow.toml:2:10: `A B` is no name of an environment variable\n  hint: write ${NAME} or ${NAME:-default}, or `$${` for a plain `${`",
    ),
    // Columns count characters, not bytes.
    (
        "admin = { listen = \"off\", \"ütf\" = 1 }\n",
        "elbow.toml:1:27: unknown key `ütf`\n  hint: known here are certificate, listen, auth",
    ),
];

/// As [`MISTAKES`], in a listener and a target group that are right otherwise; the table begins on line 1.
const LISTENER_MISTAKES: &[(&str, &str)] = &[
    (
        "name = \"we b\"",
        "1:8: \"we b\" is not a listener name: only letters, digits, '.', '_' and '-' are allowed (target ids also ':', '[' and ']')",
    ),
    (
        "protocol = \"https\"",
        "1:12: a listener that speaks TLS needs `certificates`\n  hint: write certificates = [\"NAME\"], and declare it with [[certificate]]",
    ),
    (
        "protocol = \"https\"; certificates = []",
        "2:16: at least one certificate is needed\n  hint: write certificates = [\"NAME\"], and declare it with [[certificate]]",
    ),
    (
        "protocol = \"https\"; certificates = [\"web\"]",
        "2:16: listener web shows certificate web, which does not exist\n  hint: declare it with [[certificate]]",
    ),
    ("protocol = \"https\"; certificates = [\"a\", \"a\"]", "2:22: a is named twice"),
    ("protocol = \"htpp\"", "1:12: `htpp` is no protocol\n  hint: did you mean `http`?"),
    (
        "certificates = [\"web\"]",
        "1:16: it is for listeners that speak TLS\n  hint: write protocol = \"https\" or \"tls\"",
    ),
    (
        "tls_policy = \"modern\"",
        "1:14: it is for listeners that speak TLS\n  hint: write protocol = \"https\" or \"tls\"",
    ),
    ("tls_policy = \"moderm\"", "1:14: `moderm` is no tls_policy\n  hint: did you mean `modern`?"),
    (
        "tls_policy = \"ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04\"",
        "1:14: `ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04` promises a validated cryptographic module, which this elbow has not\n  hint: the same without FIPS in its name is served",
    ),
    ("client_auth = \"required\"", "1:15: `required` is no client_auth\n  hint: did you mean `require`?"),
    (
        "client_ca = \"ca.pem\"",
        "1:13: it is for listeners that speak TLS\n  hint: write protocol = \"https\" or \"tls\"",
    ),
    (
        "protocol = \"tls\"",
        "1:12: a listener that speaks TLS needs `certificates`\n  hint: write certificates = [\"NAME\"], and declare it with [[certificate]]",
    ),
    (
        "protocol = \"tls\"; certificates = [\"a\"]; redirect_to_https = true",
        "3:21: what comes here is over TLS already",
    ),
    ("protocol = \"tcp\"; redirect_to_https = true", "2:21: only requests can be redirected, and here come streams"),
    (
        "protocol = \"https\"; certificates = [\"a\"]; alpn = [\"h2\"]",
        "3:8: it is for listeners that pass on what is within TLS\n  hint: write protocol = \"tls\", or leave it away",
    ),
    (
        "alpn = [\"h2\"]",
        "1:8: it is for listeners that pass on what is within TLS\n  hint: write protocol = \"tls\", or leave it away",
    ),
    (
        "protocol = \"tls\"; certificates = [\"a\"]; alpn = [\"h 2\"]",
        "3:9: the name of a protocol is 1 to 255 visible ASCII characters\n  hint: as in \"h2\" or \"http/1.1\"",
    ),
    ("protocol = \"tls\"; certificates = [\"a\"]; alpn = [\"h2\", \"h2\"]", "3:15: h2 is named twice"),
    ("redirect_to_https = \"yes\"", "1:21: expected true, false or a port, found a string"),
    ("redirect_to_https = 0", "1:21: 0 is out of range: expected a whole number from 1 to 65535"),
    (
        "proxy_protocol = \"accept\"",
        "1:18: it needs `trusted_proxies`: a header from anybody else is not believed\n  hint: name the networks of the proxies, as in [\"10.0.0.0/8\"]",
    ),
    ("desync_mitigation = \"strict\"", "1:21: `strict` is no mode\n  hint: did you mean `strictest`?"),
    ("proxy_protocol = \"on\"", "1:18: `on` is no use of the PROXY protocol\n  hint: available: off, accept, require"),
    ("headers_max = 65536", "1:15: a size is a string with a unit\n  hint: write \"64KiB\""),
    ("body_max = \"10GB\"", "1:12: \"10GB\" is not a size\n  hint: write \"10GiB\""),
    (
        "body_max = \"ten\"",
        "1:12: \"ten\" is not a size\n  hint: write it as in \"512B\", \"64KiB\", \"1MiB\" or \"10GiB\"",
    ),
    ("request_line_max = \"2MiB\"", "1:20: 2MiB is out of range: expected 256B to 1MiB"),
    ("header_count_max = 0", "1:20: 0 is out of range: expected a whole number from 1 to 1000"),
    ("head_timeout = \"0s\"", "1:16: 0s is out of range: expected 100ms to 1h"),
    ("trusted_proxies = \"10.0.0.0/8\"", "1:19: expected a list of networks, found a string"),
    ("trusted_proxies = [\"10.0.0.0/33\"]", "1:20: the prefix of \"10.0.0.0/33\" must be 0 to 32"),
];

const GROUP_MISTAKES: &[(&str, &str)] = &[
    ("algorithm = \"round-robin\"", "1:13: `round-robin` is no algorithm\n  hint: did you mean `round_robin`?"),
    ("hash_key = \"ip\"", "1:12: \"ip\" is not a hash key: expected source_ip, path, header:NAME or cookie:NAME"),
    ("hash_key = \"header:\"", "1:12: \"header:\" is not a hash key: the name must have 1 to 256 characters"),
    (
        "hash_key = \"cookie:a b\"",
        "1:12: \"cookie:a b\" is not a hash key: the name holds a character that names of headers and cookies may not have",
    ),
    ("slow_start = \"2h\"", "1:14: 2h is out of range: expected 0s to 1h"),
    ("send_proxy = \"v3\"", "1:14: `v3` is no version of the PROXY protocol\n  hint: available: off, v1, v2"),
    (
        "protocol = \"tcp\"\nhash_key = \"path\"",
        "2:12: a TCP stream has no path: only its source is known\n  hint: write \"source_ip\"",
    ),
    (
        "on_down = \"reset\"",
        "1:11: `reset` is for groups with protocol = \"tcp\" or \"tls\": requests end by themselves",
    ),
    ("tls_verify = \"full\"", "1:14: `full` is no tls_verify\n  hint: available: none, ca, pinned"),
    (
        "tls_ca = \"ca.pem\"",
        "1:10: neither the group nor its health check speaks TLS\n  hint: write protocol = \"https\" or \"tls\", there or in [target_group.health_check]",
    ),
    (
        "tls_server_name = \"web\"",
        "1:19: neither the group nor its health check speaks TLS\n  hint: write protocol = \"https\" or \"tls\", there or in [target_group.health_check]",
    ),
    (
        "tls_pinned_keys = [\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
        "1:19: neither the group nor its health check speaks TLS\n  hint: write protocol = \"https\" or \"tls\", there or in [target_group.health_check]",
    ),
    (
        "tls_certificate = \"web\"",
        "1:19: neither the group nor its health check speaks TLS\n  hint: write protocol = \"https\" or \"tls\", there or in [target_group.health_check]",
    ),
    (
        "protocol = \"https\"\ntls_verify = \"ca\"",
        "2:14: it needs `tls_ca`: a file with the certificates that vouch for targets",
    ),
    (
        "protocol = \"https\"\ntls_ca = \"ca.pem\"",
        "2:10: it says nothing while certificates of targets are not checked by it\n  hint: write tls_verify = \"ca\"",
    ),
    (
        "protocol = \"tls\"\ntls_verify = \"pinned\"",
        "2:14: it needs `tls_pinned_keys`: at least one public key\n  hint: write tls_pinned_keys = [\"sha256/BASE64\"]",
    ),
    (
        "protocol = \"tls\"\ntls_verify = \"pinned\"\ntls_pinned_keys = []",
        "3:19: at least one public key is needed\n  hint: write tls_pinned_keys = [\"sha256/BASE64\"]",
    ),
    (
        "protocol = \"tls\"\ntls_verify = \"pinned\"\ntls_pinned_keys = [\"sha256/AAAA\"]",
        "3:20: \"sha256/AAAA\" holds no SHA-256 in base64 (44 characters)\n  hint: write the SHA-256 of the key in DER, as curl's --pinnedpubkey",
    ),
    (
        "protocol = \"https\"\ntls_pinned_keys = [\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
        "2:19: they say nothing while public keys of targets are not checked\n  hint: write tls_verify = \"pinned\"",
    ),
    ("protocol = \"https\"\ntls_server_name = \"a b\"", "2:19: \"a b\" is neither a host name nor an address"),
    (
        "protocol = \"https\"\ntls_certificate = \"web\"",
        "2:19: target group app shows certificate web, which does not exist\n  hint: declare it with [[certificate]]",
    ),
    ("[target_group.health_check]\nprotocol = \"tls\"\npath = \"/\"", "3:1: `path` means nothing to a tls check"),
    ("when_all_unhealthy = \"fail\"", "1:22: `fail` is no behaviour\n  hint: did you mean `fail_open`?"),
    (
        "[target_group.stickiness]\ntype = \"cookie\"",
        "2:8: `cookie` is no type of stickiness\n  hint: did you mean `lb_cookie`?",
    ),
    ("[target_group.stickiness]\ntype = \"app_cookie\"", "1:1: `cookie_name` is missing"),
    (
        "[target_group.stickiness]\ntype = \"app_cookie\"\ncookie_name = \"ELBOW\"",
        "3:15: ELBOW is the cookie that elbow sets beside the application's\n  hint: name the application's own cookie, such as \"JSESSIONID\"",
    ),
    (
        "[target_group.stickiness]\ntype = \"app_cookie\"\ncookie_name = \"SID\"\nduration = \"1h\"",
        "4:1: `duration` belongs to lb_cookie\n  hint: the binding lasts as long as the application's cookie",
    ),
    (
        "[target_group.stickiness]\ntype = \"source_ip\"\ncookie_name = \"SID\"",
        "3:1: `cookie_name` means nothing to source_ip, which sets no cookie",
    ),
    (
        "[target_group.stickiness]\ntype = \"source_ip\"\nduration = \"1h\"",
        "3:1: `duration` belongs to lb_cookie\n  hint: the address alone decides",
    ),
    (
        "[target_group.stickiness]\ncookie_name = \"a b\"",
        "2:15: \"a b\" is not the name of a cookie: expected 1 to 256 letters, digits or any of !#$%&'*+-.^_`|~",
    ),
    ("[target_group.stickiness]\nduration = \"999ms\"", "2:12: 999ms is out of range: expected 1s to 8760h"),
    ("[target_group.stickiness]\nduration = \"8761h\"", "2:12: 8761h is out of range: expected 1s to 8760h"),
    (
        "[target_group.stickiness]\nduration = \"1500ms\"",
        "2:12: 1500ms is not a whole number of seconds\n  hint: cookies count in seconds: write \"1s\"",
    ),
    (
        "[target_group.stickiness]\nduration = 60",
        "2:12: a duration is a string with a unit\n  hint: write \"60s\" for seconds, or \"60ms\"",
    ),
    (
        "[target_group.stickiness]\non_unavailable = \"503\"",
        "2:18: `503` is no behaviour\n  hint: available: repick, fail",
    ),
    ("[target_group.ejection]\nfailures = -1", "2:12: -1 is not a whole number from 0 to 1000"),
    (
        "[target_group.ejection]\nmax = \"1m\"",
        "2:1: unknown key `max`\n  hint: known here are failures, duration, duration_max",
    ),
    (
        "[target_group.ejection]\nduration = \"10m\"",
        "2:12: the longest duration, 300s (the default), is shorter than the first, 600s\n  hint: write duration_max = \"600s\", or more",
    ),
    (
        "[target_group.ejection]\nduration_max = \"5s\"",
        "2:16: the longest duration, 5s, is shorter than the first, 10s\n  hint: write duration_max = \"10s\", or more",
    ),
    ("ejection = false", "1:12: expected a table, found true or false"),
    ("stickyness = {}", "1:1: unknown key `stickyness`\n  hint: did you mean `stickiness`?"),
    ("[target_group.discovery]", "1:1: `ec2` is missing"),
    (
        "[target_group.discovery.ec2]\nport = 80",
        "1:1: `tags` is missing: without it every instance of the account would be a target\n  hint: write tags = { role = \"web\" }, or asg = \"NAME\"",
    ),
    (
        "[target_group.discovery.ec2]\ntags = {}\nport = 80",
        "2:8: no tag is named: every instance of the account would be a target\n  hint: write tags = { role = \"web\" }, or asg = \"NAME\"",
    ),
    (
        "[target_group.discovery.ec2]\ntags = { role = [\"web\", 2] }\nport = 80",
        "2:25: expected a string, found a number",
    ),
    (
        "[target_group.discovery.ec2]\nasg = \"web\"\nport = 0",
        "3:8: 0 is out of range: expected a whole number from 1 to 65535",
    ),
    (
        "[target_group.discovery.ec2]\nasg = \"web\"",
        "1:1: `port` is missing\n  hint: write port = 80, or port_tag = \"TAG\" if each instance has a tag that says it",
    ),
    (
        "[target_group.discovery.ec2]\nasg = \"web\"\nport = 80\nregion = \"Virginia\"",
        "4:10: \"Virginia\" is not a region\n  hint: write it as in \"us-east-1\"",
    ),
    (
        "[target_group.discovery.ec2]\nasg = \"web\"\nport = 80\naddress = \"elastic\"",
        "4:11: `elastic` is no address\n  hint: available: private, public",
    ),
    (
        "[target_group.discovery.ec2]\nasg = \"web\"\nport = 80\nintervall = \"1m\"",
        "4:1: unknown key `intervall`\n  hint: did you mean `interval`?",
    ),
    (
        "[[target_group.target]]\naddress = \"10.0.0.1\"",
        "2:11: \"10.0.0.1\" is not an address: the port is missing; expected HOST:PORT",
    ),
    (
        "[[target_group.target]]\naddress = \"10.0.0.1:80\"\nweight = 1001",
        "3:10: 1001 is out of range: expected 0 to 1000",
    ),
    (
        "[[target_group.target]]\nid = \"a b\"\naddress = \"10.0.0.1:80\"",
        "2:6: \"a b\" is not a target id: only letters, digits, '.', '_' and '-' are allowed (target ids also ':', '[' and ']')",
    ),
    (
        "[[target_group.target]]\naddress = \"WEB:80\"\n[[target_group.target]]\naddress = \"web:80\"",
        "4:11: target web:80 of target group app is declared twice",
    ),
    (
        "[[target_group.target]]\naddress = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.internal:80\"",
        "1:1: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.internal:80\" is not a target id: it is longer than 64 characters\n  hint: give this target an `id`",
    ),
    ("[target_group.health_check]\nprotocol = \"tcp\"\npath = \"/\"", "3:1: `path` means nothing to a tcp check"),
    (
        "[target_group.health_check]\npath = \"healthz\"",
        "2:8: \"healthz\" does not begin with a slash\n  hint: write \"/healthz\"",
    ),
    (
        "[target_group.health_check]\nport = 0",
        "2:8: 0 is no port\n  hint: write \"traffic-port\", or a number from 1 to 65535",
    ),
    ("[target_group.health_check]\ninterval = \"50ms\"", "2:12: 50ms is out of range: expected 100ms to 300s"),
    (
        "[target_group.health_check]\ninterval = \"2s\"",
        "2:12: the timeout, 5s (the default), must be shorter than the interval, 2s\n  hint: write timeout = \"1s\", say",
    ),
    (
        "[target_group.health_check]\ntimeout = \"10s\"",
        "2:11: the timeout, 10s, must be shorter than the interval, 10s\n  hint: write timeout = \"5s\", say",
    ),
    ("[target_group.health_check]\nhealthy_threshold = 11", "2:21: 11 is out of range: expected 1 to 10"),
    ("[target_group.health_check]\nmatcher = \"2xx\"", "2:11: \"2xx\" is not a status code from 100 to 599"),
    (
        "[target_group.health_check.headers]\nHost = \"web\"",
        "2:8: a probe sets Host itself\n  hint: use the key `host`",
    ),
    ("[target_group.health_check.headers]\nX-A = \"a\\r\\nb\"", "2:7: the value of X-A holds what a header must not"),
];

/// What must hold between objects.
const CONFLICTS: &[(&str, &str)] = &[
    (
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\ntarget_group = \"ap\"\n[[target_group]]\nname = \"app\"\n",
        "elbow.toml:4:16: listener web forwards to target group ap, which does not exist\n  hint: did you mean `app`?",
    ),
    (
        "[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:80\"\ntarget_group = \"app\"\n\
         [[listener]]\nname = \"a\"\nbind = \"127.0.0.1:80\"\ntarget_group = \"app\"\n[[target_group]]\nname = \"app\"\n",
        "elbow.toml:7:8: listeners b and a bind the same address",
    ),
    (
        "[[target_group]]\nname = \"app\"\n[[target_group]]\nname = \"app\"\n",
        "elbow.toml:4:8: target group app is declared twice",
    ),
    (
        "[[target_group]]\nname = \"app\"\n[[target_group.target]]\nid = \"a\"\naddress = \"10.0.0.1:1\"\n\
         [[target_group.target]]\nid = \"a\"\naddress = \"10.0.0.2:1\"\n",
        "elbow.toml:7:6: target a of target group app is declared twice",
    ),
];

#[test]
fn each_mistake_is_told_with_its_place() {
    for (text, expected) in MISTAKES.iter().chain(CONFLICTS) {
        let error = parse(text).expect_err(text);
        assert_eq!(error.to_string(), *expected, "of\n{text}");
    }
}

#[test]
fn each_mistake_in_an_object_is_told_with_its_place() {
    let listener = |mistake: &str| {
        let name = if mistake.starts_with("name") { "" } else { "name = \"web\"\n" };
        let text = format!(
            "[[listener]]\n{}\nbind = \"127.0.0.1:1\"\ntarget_group = \"app\"\n{name}[[target_group]]\nname = \"app\"\n",
            mistake.replace("; ", "\n"),
        );
        (text, 1)
    };
    let group = |mistake: &str| (format!("[[target_group]]\nname = \"app\"\n{mistake}\n"), 2);
    let listeners = LISTENER_MISTAKES.iter().map(|(mistake, expected)| (listener(mistake), expected));
    let groups = GROUP_MISTAKES.iter().map(|(mistake, expected)| (group(mistake), expected));
    for ((text, lines_before), expected) in listeners.chain(groups) {
        let error = parse(&text).expect_err(&text);
        let (line, rest) = expected.split_once(':').unwrap();
        let line = line.parse::<usize>().unwrap() + lines_before;
        assert_eq!(error.to_string(), format!("elbow.toml:{line}:{rest}"), "of\n{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text =
        "[admin]\nlisten = \"${NONE}\"\nauth = 1\n[[listener]]\nname = \"web\"\nbind = \"x\"\nidle_timout = \"1s\"\n";
    let error = parse(text).unwrap_err();
    let places: Vec<_> = error.problems().iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(2, 10), (3, 8), (4, 1), (6, 8), (7, 1)], "{error}");
    let pointers: Vec<_> = error.problems().iter().map(|problem| problem.pointer.as_str()).collect();
    let expected =
        ["/admin/listen", "/admin/auth", "/listener/0/target_group", "/listener/0/bind", "/listener/0/idle_timout"];
    assert_eq!(pointers, expected);
}

#[test]
fn a_drawn_error_shows_the_line_and_a_mark() {
    let error = parse("[workers]\ncount = \"4\"\n").unwrap_err();
    let drawn = error.render(Style::Drawn { colour: false });
    assert!(drawn.contains("elbow.toml:2:9"), "{drawn}");
    assert!(drawn.contains("count = \"4\"") && drawn.contains("help: write 4, without quotes"), "{drawn}");
    assert!(!drawn.contains('\u{1b}'), "no colour was asked for: {drawn:?}");
    assert!(error.render(Style::Drawn { colour: true }).contains('\u{1b}'));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.toml");
    let error = file::load(&path, &environment).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: cannot read it: No such file", path.display())), "{error}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(file::load(&path, &environment).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn an_empty_file_has_all_defaults() {
    let loaded = parse("").unwrap();
    assert_eq!(loaded.process, ProcessSettings::default());
    assert_eq!(loaded.declared.global, Some(Global::default()));
    assert!(loaded.declared.listeners.is_empty() && loaded.declared.target_groups.is_empty());
}

#[test]
fn the_defaults_may_be_written() {
    let written = parse(
        r#"
        [admin]
        listen = "127.0.0.1:9900"
        auth = "required"
        [workers]
        count = 0
        [limits]
        connections_max = 0
        [shutdown]
        delay = "0s"
        timeout = "30s"
        [access_log]
        path = "off"
        format = "json"
        [[listener]]
        name = "web"
        bind = "0.0.0.0:8080"
        protocol = "http"
        target_group = "app"
        head_timeout = "10s"
        idle_timeout = "60s"
        body_rate_min = "1KiB"
        tunnel_idle_timeout = "1h"
        request_line_max = "16KiB"
        headers_max = "64KiB"
        header_count_max = 128
        body_max = "0"
        connections_max = 0
        requests_per_connection_max = 0
        trusted_proxies = []
        certificates = []
        tls_policy = "intermediate"
        client_auth = "off"
        proxy_protocol = "off"
        desync_mitigation = "monitor"
        [[target_group]]
        name = "app"
        protocol = "http"
        algorithm = "least_outstanding_requests"
        hash_key = "source_ip"
        deregistration_delay = "300s"
        slow_start = "0s"
        when_all_unhealthy = "fail_open"
        initial_wait = "3s"
        connect_timeout = "2s"
        response_timeout = "60s"
        keepalive_timeout = "4s"
        idle_connections_max = 64
        connections_max = 0
        surge_queue_max = 1024
        tls_verify = "none"
        send_proxy = "off"
        [target_group.stickiness]
        type = "lb_cookie"
        cookie_name = "ELBOW"
        on_unavailable = "repick"
        [target_group.health_check]
        protocol = "http"
        path = "/"
        port = "traffic-port"
        host = ""
        headers = {}
        interval = "10s"
        timeout = "5s"
        healthy_threshold = 2
        unhealthy_threshold = 2
        matcher = "200-299"
        [[target_group.target]]
        id = "10.0.0.11:80"
        address = "10.0.0.11:80"
        weight = 1
        "#,
    );
    let left_out = parse(
        r#"
        listener = [{ name = "web", bind = "0.0.0.0:8080", target_group = "app" }]
        [[target_group]]
        name = "app"
        stickiness = {}
        health_check = {}
        target = [{ address = "10.0.0.11:80" }]
        "#,
    );
    assert_eq!(written.unwrap(), left_out.unwrap());
}

#[test]
fn what_is_written_holds() {
    let loaded = parse(
        r#"
        [admin]
        listen = "off"
        auth = "none"
        [state]
        dir = "/srv/elbow"
        [workers]
        count = 4
        [limits]
        connections_max = 1000
        [shutdown]
        delay = "250ms"
        timeout = "5m"
        [access_log]
        path = "-"
        format = "combined"
        [[listener]]
        name = "web"
        bind = "[::1]:${PORT}"
        target_group = "${GROUP:-app}"
        body_max = "10GiB"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [[target_group]]
        name = "app"
        algorithm = "consistent_hash"
        hash_key = "header:X-User"
        when_all_unhealthy = "fail_closed"
        [target_group.stickiness]
        type = "app_cookie"
        cookie_name = "JSESSIONID"
        on_unavailable = "fail"
        [target_group.health_check]
        port = 9000
        host = "web.internal"
        headers = { X-Probe = "a", Accept = "$${x} ${EMPTY:-b}" }
        interval = "1s"
        timeout = "500ms"
        matcher = "200,301-302"
        [[target_group]]
        name = "plain"
        stickiness = { type = "source_ip" }
        "#,
    )
    .unwrap();
    let process = ProcessSettings {
        admin_listen: None,
        admin_auth: AdminAuth::None,
        admin_certificate: None,
        state_dir: Some("/srv/elbow".into()),
        workers: 4,
    };
    assert_eq!(loaded.process, process);
    let global = loaded.declared.global.unwrap();
    assert_eq!((global.connections_max, global.shutdown.timeout), (1000, Duration::from_secs(300)));
    assert_eq!(global.access_log.destination, AccessLogDestination::Stdout);
    assert_eq!(global.access_log.format, AccessLogFormat::Combined);
    let [listener] = &loaded.declared.listeners[..] else { panic!("one listener") };
    assert_eq!((listener.bind.to_string().as_str(), listener.body_bytes_max), ("[::1]:8081", 10 << 30));
    assert_eq!(listener.forward.target_group.as_str(), "app");
    let [app, plain] = &loaded.declared.target_groups[..] else { panic!("two groups") };
    assert_eq!((app.algorithm, app.when_all_unhealthy), (Algorithm::ConsistentHash, WhenAllUnhealthy::FailClosed));
    assert_eq!(app.hash_key, HashKey::Header("x-user".into()));
    assert_eq!(app.health_check.port, ProbePort::Fixed(9000));
    let HealthCheckProtocol::Http(HttpQuestion { headers, matcher, .. }) = &app.health_check.protocol else {
        panic!("http")
    };
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(headers, [("Accept", "${x} b"), ("X-Probe", "a")]);
    assert!(matcher.holds(301) && !matcher.holds(201));
    let application = StickyBy::AppCookie { name: CookieName::parse("JSESSIONID").unwrap() };
    assert_eq!(app.stickiness, Some(Stickiness::new(application, OnUnavailable::Fail)));
    let address = Stickiness::new(StickyBy::SourceIp, OnUnavailable::Repick);
    assert_eq!(plain.stickiness, Some(address));
    assert_eq!(plain.health_check, HealthCheck::new(HealthCheckProtocol::Tcp), "without a table: over TCP");
}

#[test]
fn arguments_make_listeners_and_one_group() {
    let listen = ["127.0.0.1:8080".parse().unwrap(), "127.0.0.1:8081".parse().unwrap()];
    let targets = [lb::model::HostPort::parse("10.0.0.1:80").unwrap(), lb::model::HostPort::parse("[::1]:80").unwrap()];
    let declared = file::from_arguments(&listen, &targets).unwrap();
    let names: Vec<_> = declared.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["web", "web-2"]);
    let ids: Vec<_> = declared.targets.iter().map(|(group, target)| (group.as_str(), target.id.as_str())).collect();
    assert_eq!(ids, [("app", "10.0.0.1:80"), ("app", "[::1]:80")]);
    let twice = [targets[0].clone(), targets[0].clone()];
    assert!(file::from_arguments(&listen, &twice).unwrap_err().contains("declared twice"));
}
