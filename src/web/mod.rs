//! The status page and `/metrics` over HTTP. It reads the ledger and changes nothing; nobody is asked who he is, so that it
//! listens on loopback unless somebody decided otherwise.

mod status;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{clock, ledger::Ledger},
    config::Config,
    model::{
        failure::{Class, Diagnose, chain},
        metrics,
    },
};

/// The page cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("listening on {listen}")]
pub struct WebError {
    listen: SocketAddr,
    source: io::Error,
}

impl Diagnose for WebError {
    fn class(&self) -> Class {
        Class::Failed
    }

    fn hint(&self) -> Option<String> {
        Some("choose another port: [web] listen".into())
    }
}

/// Where the newest configuration is: the daemon may have read it anew.
pub type Current = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// Listens where the configuration says.
///
/// # Errors
/// When the address is taken or not of this host.
pub async fn listen(at: SocketAddr) -> Result<TcpListener, WebError> {
    TcpListener::bind(at).await.map_err(|source| WebError { listen: at, source })
}

/// Serves until `cancel`. An error of one request ends that request alone.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(current: Current, listener: TcpListener, cancel: CancellationToken) -> io::Result<()> {
    let loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    let router = Router::new()
        .route("/", get(page))
        .route("/metrics", get(numbers))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(middleware::from_fn_with_state(loopback, guard))
        .with_state(current);
    axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await
}

/// On loopback only names of loopback are answered: a page of the internet must not read this one through a name that it
/// points here (DNS rebinding). Every answer says that nothing may be loaded or framed.
async fn guard(State(loopback): State<bool>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if loopback && !is_loopback_name(host) {
        return (StatusCode::MISDIRECTED_REQUEST, "this is not the host's name\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// What went wrong, for whoever reads this host's page: the same words that the commands say.
fn failed(error: &(dyn std::error::Error + 'static)) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", chain(error))).into_response()
}

async fn numbers(State(current): State<Current>) -> Response {
    let made = tokio::task::spawn_blocking(move || {
        let config = current();
        let ledger = Ledger::open(&config.stack.state_dir)?;
        let jobs = ledger.metrics(&config.roster(), clock::now())?;
        Ok::<_, crate::adapters::ledger::LedgerError>((config, jobs, ledger.deliveries_by_state()?))
    });
    let (config, jobs, deliveries) = match made.await {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return failed(&error),
    };
    match metrics::encode(&config.stack.name, env!("CARGO_PKG_VERSION"), &jobs, &deliveries) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => failed(&error),
    }
}

async fn page(State(current): State<Current>) -> Response {
    match tokio::task::spawn_blocking(move || status::render(&current())).await {
        Ok(Ok(html)) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_answered_there() {
        for good in ["localhost", "localhost:9464", "127.0.0.1:9464", "[::1]:9464", "127.0.0.5"] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in ["", "example.com", "example.com:9464", "127.0.0.1.example.com:80", "10.0.0.1", "[::2]:1"] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
