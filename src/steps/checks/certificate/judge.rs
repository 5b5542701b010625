//! What a chain of certificates comes to.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adapters::{
        roots::{Roots, RootsError},
        tls::{Chain, Distrust, Facts},
    },
    model::{
        detail::Detail,
        finding::{Band, Finding, Unit},
    },
    steps::checks::unasked,
};

/// A third of its life before its end a certificate should have been renewed; a sixth before, it must be.
const WARN_BELOW: f64 = 1.0 / 3.0;
const CRITICAL_BELOW: f64 = 1.0 / 6.0;
const SECONDS_A_DAY: f64 = 86_400.0;
/// Debian's OpenSSL turns smaller RSA keys away (SSL_CTX_set_security_level(3), level 2).
const LEAST_RSA_BITS: usize = 2048;

/// One chain: until when, for whom, with which key, and whether a client believes it. Never panics, whatever it is.
pub fn judge(
    subject: &str,
    name: Option<&str>,
    chain: &Chain,
    roots: &Result<Roots, RootsError>,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let facts = match chain.facts() {
        Ok(facts) => facts,
        Err(error) => return vec![unasked(subject, &error)],
    };
    let Some((leaf, issuers)) = facts.split_first() else { return Vec::new() };
    let trust = roots.as_ref().map(|roots| chain.leads_to(roots, now));
    let mut findings = vec![expiry(subject, leaf, leaf.not_after, now)];
    let of_issuers = issuers.iter().map(|issuer| ends_before(subject, leaf, issuer, now));
    findings.extend(of_issuers.flatten().map(|finding| match trust {
        // A cross-signature that is over hurts old clients alone.
        Ok(Ok(())) => Finding { band: finding.band.min(Band::Warning), ..finding },
        _ => finding,
    }));
    if let Some(why) = name.and_then(|name| chain.is_for(name).err().map(|why| format!("is not for {name}: {why}"))) {
        findings.push(Finding::critical(subject, why).hint("request one with this name among its subjectAltNames"));
    }
    findings.extend(facts.iter().filter_map(|facts| weak(subject, facts)));
    match trust {
        Err(error) => findings.push(unasked(format!("{subject}, chain"), error)),
        Ok(Err(why)) => findings.extend(distrusted(subject, leaf, facts.last().unwrap_or(leaf), why)),
        Ok(Ok(())) => {}
    }
    findings
}

/// How near an end is, in the certificate's life.
fn expiry(subject: &str, leaf: &Facts, end: DateTime<Utc>, now: DateTime<Utc>) -> Finding {
    const RENEW: &str = "renew it: certbot renew; then reload the server";
    let left = end - now;
    let life = seconds(leaf.not_after - leaf.not_before);
    let share = if life > 0.0 { seconds(left) / life } else { 0.0 };
    let of_life = format!("{:.0} % of its life left", share * 100.0);
    let detail = Detail::Certificate { from: leaf.not_before, until: end, left: share };
    let end = day(end);
    let finding = match () {
        () if left < TimeDelta::zero() => Finding::critical(subject, format!("expired {end}")).hint(RENEW),
        () if leaf.not_before > now => {
            Finding::critical(subject, format!("is not valid before {}", day(leaf.not_before)))
                .hint("serve the one before it until then; or is this host's clock wrong? See: timedatectl")
        }
        () if share >= WARN_BELOW => Finding::good(subject, format!("until {end}, {of_life}")),
        () if share >= CRITICAL_BELOW => Finding::warning(subject, format!("ends {end}, {of_life}")).hint(RENEW),
        () => Finding::critical(subject, format!("ends {end}, {of_life}")).hint(RENEW),
    };
    finding.value(seconds(left) / SECONDS_A_DAY, Unit::Days).detail(detail)
}

/// One that signed it and does not outlive it: its end is the certificate's. That of any other is no matter of the certificate.
fn ends_before(subject: &str, leaf: &Facts, issuer: &Facts, now: DateTime<Utc>) -> Option<Finding> {
    if issuer.not_after >= leaf.not_after && issuer.not_before <= now {
        return None;
    }
    let finding = expiry(subject, leaf, issuer.not_after, now);
    let seen = match () {
        () if issuer.not_before > now => format!("is not valid before {}", day(issuer.not_before)),
        () if issuer.not_after < now => format!("expired {}", day(issuer.not_after)),
        () => format!("ends {}, before it", day(issuer.not_after)),
    };
    let band = if issuer.not_before > now { Band::Critical } else { finding.band };
    let hint = "the authority has a newer one: renew the certificate, and serve the whole of fullchain.pem";
    let found = Finding { band, seen: format!("{} in its chain {seen}", issuer.subject), ..finding };
    (!band.is_fine()).then(|| found.hint(hint))
}

fn weak(subject: &str, facts: &Facts) -> Option<Finding> {
    let bits = facts.rsa_bits.filter(|bits| *bits < LEAST_RSA_BITS)?;
    let seen = format!("the key of {} has {bits} bits: clients turn it away", facts.subject);
    Some(Finding::critical(subject, seen).hint("request one with an ECDSA key, or an RSA key of 2048 bits or more"))
}

/// Why clients do not believe it, and what mends that.
fn distrusted(subject: &str, leaf: &Facts, last: &Facts, why: Distrust) -> Option<Finding> {
    let (seen, hint) = match why {
        // That was said already.
        Distrust::Time => return None,
        // Some that are are of a form that no authority gives out.
        Distrust::Stranger | Distrust::Other(_) if leaf.of_itself => (
            "signed by itself: no client believes it".to_owned(),
            "get one from an authority; where clients know this one, name its own file as ca_file",
        ),
        Distrust::Stranger if last.of_itself => (
            format!("its authority {} is none that clients believe", last.subject),
            "where clients do, name its file as ca_file",
        ),
        Distrust::Stranger => (
            format!("clients do not come from it to an authority that they believe: {} is not sent", last.issuer),
            "serve the whole chain: fullchain.pem, not cert.pem; where that is an authority of your own, name its file as ca_file",
        ),
        Distrust::Signature => (
            "is signed in a way that clients no longer take, as with SHA-1".to_owned(),
            "request it anew; authorities sign with SHA-256 or better",
        ),
        Distrust::Other(why) => {
            (format!("clients do not believe it: {why}"), "see: openssl verify -untrusted fullchain.pem cert.pem")
        }
    };
    Some(Finding::critical(subject, seen).hint(hint))
}

/// Renewed, and not reloaded.
pub(super) fn drift(subject: &str, file: &Chain, served: &Chain) -> Option<Finding> {
    let leaf = |chain: &Chain| chain.facts().ok().and_then(|facts| facts.into_iter().next());
    let (file, served) = (leaf(file)?, leaf(served)?);
    if file.sha256 == served.sha256 {
        return None;
    }
    let ends = format!("served until {}, the file until {}", day(served.not_after), day(file.not_after));
    Some(match served.not_before > file.not_before {
        true => Finding::warning(subject, format!("is newer than the file's: {ends}"))
            .hint("name the file that the server has it from, or a reload brings the old one back"),
        false => Finding::critical(subject, format!("is not the file's: {ends}"))
            .hint("check and reload the server: nginx -t && nginx -s reload"),
    })
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.as_seconds_f64()
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(begin: DateTime<Utc>, life: TimeDelta) -> Facts {
        Facts {
            subject: "CN=a".into(),
            issuer: "CN=ca".into(),
            not_before: begin,
            not_after: begin + life,
            of_itself: false,
            rsa_bits: None,
            sha256: String::new(),
        }
    }

    #[test]
    fn the_edges_are_a_third_and_a_sixth_of_any_life() {
        let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        for days in [90, 45, 6, 398] {
            let life = TimeDelta::days(days);
            for (left, band) in [
                (life, Band::Good),
                (life / 3, Band::Good),
                (life / 3 - TimeDelta::seconds(1), Band::Warning),
                (life / 6, Band::Warning),
                (life / 6 - TimeDelta::seconds(1), Band::Critical),
                (TimeDelta::zero(), Band::Critical),
                (TimeDelta::seconds(-1), Band::Critical),
                (life + TimeDelta::seconds(1), Band::Critical),
            ] {
                let finding = expiry("a", &facts(begin, life), begin + life, begin + life - left);
                assert_eq!(finding.band, band, "{days} days, {left} left: {}", finding.seen);
            }
        }
        let never = facts(begin, TimeDelta::zero());
        assert_eq!(expiry("a", &never, begin, begin).band, Band::Critical, "it has no life");
    }

    #[test]
    fn an_issuer_counts_where_it_ends_first() {
        let now: DateTime<Utc> = "2026-06-01T00:00:00Z".parse().unwrap();
        let leaf = facts(now - TimeDelta::days(10), TimeDelta::days(90));
        let told = |begin: i64, end: i64| {
            let issuer = facts(now + TimeDelta::days(begin), TimeDelta::days(end - begin));
            ends_before("a", &leaf, &issuer, now).map(|found| (found.band, found.seen))
        };
        assert_eq!(told(-3000, 100), None, "little of its own life is left, and that is no matter");
        assert_eq!(told(-3000, 79), None, "a day before it: there is time");
        let seen = |seen: &str| format!("CN=a in its chain {seen}");
        assert_eq!(told(-3000, 20), Some((Band::Warning, seen("ends 2026-06-21, before it"))));
        assert_eq!(told(-3000, 5), Some((Band::Critical, seen("ends 2026-06-06, before it"))));
        assert_eq!(told(-3000, -1), Some((Band::Critical, seen("expired 2026-05-31"))));
        assert_eq!(told(1, 900), Some((Band::Critical, seen("is not valid before 2026-06-02"))));
    }
}
