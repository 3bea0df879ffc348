//! The names of TLS policies, and what each offers: elbow's own two, and those of ELB as far as they can be served.
//!
//! Suites with CBC or without forward secrecy, and TLS before 1.2, are never offered, whatever the name.

/// What TLS offers to clients, under one of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsPolicy {
    name: &'static str,
    offer: TlsOffer,
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
        POLICIES.iter().map(|&(name, offer)| Self { name, offer })
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
        Self { name: "intermediate", offer: TlsOffer::Tls13And12 }
    }
}
