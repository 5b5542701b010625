//! What a configuration of nginx, as `nginx -T` prints it, says about when it looks names up.
//!
//! A name in `server` of an `upstream`, or in `proxy_pass` without a variable, is looked up once, when the configuration is
//! read (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server>); with `resolve` (from 1.27.3 on), or a
//! variable and a `resolver`, again and again.

/// Directives that name a server.
const PASSES: &[&str] = &["proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"];

/// Whether one of these names is looked up only when the configuration is read.
pub fn looks_up_once(config: &str, names: &[&str]) -> bool {
    let statements = statements(config);
    let groups: Vec<&str> =
        statements.iter().filter(|words| words[0] == "upstream").filter_map(|words| words.get(1).copied()).collect();
    statements.iter().any(|words| {
        let Some(target) = words.get(1) else { return false };
        let host = host(target);
        match words[0] {
            "server" => names.contains(&host) && !words.contains(&"resolve"),
            // A group of servers goes by the same kind of name.
            pass if PASSES.contains(&pass) => names.contains(&host) && !target.contains('$') && !groups.contains(&host),
            _ => false,
        }
    })
}

/// The statements, each as its words: what ends with `;`, or begins a block.
fn statements(config: &str) -> Vec<Vec<&str>> {
    let without_comments = config.lines().map(|line| line.split('#').next().unwrap_or(line));
    let mut statements = vec![Vec::new()];
    for line in without_comments {
        for (number, part) in line.split([';', '{', '}']).enumerate() {
            if number > 0 {
                statements.push(Vec::new());
            }
            if let Some(last) = statements.last_mut() {
                last.extend(part.split_whitespace().map(|word| word.trim_matches(['"', '\''])));
            }
        }
    }
    statements.retain(|words| !words.is_empty());
    statements
}

/// The host of `http://host:port/path` or `host:port`.
fn host(target: &str) -> &str {
    let behind = target.split_once("://").map_or(target, |(_, rest)| rest);
    behind.split([':', '/']).next().unwrap_or(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_looked_up_once_are_found() {
        let once = |config: &str| looks_up_once(config, &["app", "stack_app_1"]);
        assert!(once(
            "upstream app { server app:8000 max_fails=2; }\nserver { location / { proxy_pass http://app; } }"
        ));
        assert!(once("location / {\n  proxy_pass http://app:8000/x;\n}"));
        assert!(once("location / { grpc_pass\n grpc://stack_app_1:1; }"));
        for fine in [
            "upstream a { zone a 64k; server app:8000 resolve; }",
            "resolver 127.0.0.11 valid=5s; set $up app; location / { proxy_pass http://$up:8000; }",
            "upstream app { server 10.0.0.1:80; } location / { proxy_pass http://app; }",
            "# proxy_pass http://app;\nserver_name app;",
            "server { listen 80; location / { proxy_pass http://other; } }",
            "",
        ] {
            assert!(!once(fine), "{fine}");
        }
    }
}
