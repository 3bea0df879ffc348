//! The names of TLS policies, and what each offers: elbow's own two, and those of ELB as far as they can be served.
//!
//! Suites with CBC or without forward secrecy, and TLS before 1.2, are never offered, whatever the name.

/// What TLS offers to clients, under one of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsPolicy {
    name: &'static str,
    offer: TlsOffer,
    has_own_order: bool,
}

/// What a policy offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsOffer {
    /// TLS 1.3.
    Tls13,
    /// TLS 1.3, and 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305.
    Tls13And12,
    /// TLS 1.3, and 1.2 with ECDHE and AES-GCM.
    Tls13And12Aes,
    /// TLS 1.2 with ECDHE and AES-GCM.
    Tls12Aes,
    /// TLS 1.2 with these alone.
    Tls12(Tls12Suites),
}

/// Cipher suites of TLS 1.2, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls12Suites([bool; SUITES.len()]);

/// The cipher suites of TLS 1.2 that can be offered, by OpenSSL's names.
const SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

impl Tls12Suites {
    /// Those of these names that can be offered; `None` if none can.
    pub fn of(names: &[&str]) -> Option<Self> {
        let is_named = SUITES.map(|suite| names.contains(&suite));
        is_named.contains(&true).then_some(Self(is_named))
    }

    /// Whether the suite of this name is one of them.
    pub fn contains(self, name: &str) -> bool {
        SUITES.iter().zip(self.0).any(|(suite, is_named)| is_named && *suite == name)
    }
}

/// Every policy.
const POLICIES: &[(&str, TlsOffer)] = &[
    ("modern", TlsOffer::Tls13),
    ("intermediate", TlsOffer::Tls13And12),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", TlsOffer::Tls13),
    ("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", TlsOffer::Tls13),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-1-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-0-2021-06", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", TlsOffer::Tls13And12Aes),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-FS-1-2-Res-2019-08", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-FS-1-2-2019-08", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-FS-1-1-2019-08", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-FS-2018-06", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2016-08", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2015-05", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-TLS-1-0-2015-04", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2015-03", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2015-02", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2014-10", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2014-01", TlsOffer::Tls12Aes),
    ("ELBSecurityPolicy-2011-08", TlsOffer::Tls12Aes),
    ("ELBSample-ELBDefaultCipherPolicy", TlsOffer::Tls12Aes),
    ("ELBSample-OpenSSLDefaultCipherPolicy", TlsOffer::Tls12Aes),
];

impl TlsPolicy {
    /// The policy of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|policy| policy.name == name)
    }

    /// Every policy.
    pub fn all() -> impl Iterator<Item = Self> {
        POLICIES.iter().map(|&(name, offer)| Self { name, offer, has_own_order: true })
    }

    /// One without a name, which is put together by hand. `has_own_order`: our order of suites counts, not the client's.
    pub fn custom(offer: TlsOffer, has_own_order: bool) -> Self {
        Self { name: "custom", offer, has_own_order }
    }

    /// Whether our order of suites counts, and not the client's.
    pub fn has_own_order(self) -> bool {
        self.has_own_order
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// What it offers.
    pub fn offer(self) -> TlsOffer {
        self.offer
    }
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self { name: "intermediate", offer: TlsOffer::Tls13And12, has_own_order: true }
    }
}
