//! Regions and zones: what DescribeRegions and DescribeZones list, and what a
//! RegionId or ZoneId parameter may name.
//!
//! The table is compiled in, because clients (consoles, Terraform, SDK endpoint
//! resolution) expect Alibaba Cloud's own ids. It follows the vendor's list of
//! public regions of 2026, without regions that were closed for new customers
//! (Sydney, Mumbai), and with `cn-hangzhou-d`, which the recorded DescribeZones
//! sample still has.
//!
//! Chinese names of numbered mainland regions are in the form of the recorded
//! samples: region `华北 1`, zone `华东 1 可用区 B`. Elsewhere the vendor's
//! present names stand (`美国（硅谷）`, `硅谷 可用区 A`).
//!
//! A region lends its resource ids three characters, the *infix*:
//! `vpn-bp1q8bgx4xnkm2ogj` is from Hangzhou. Those of `cn-nanjing`, `cn-fuzhou`,
//! `cn-wuhan-lr` and `na-south-1` were not seen in public samples and are ours.

/// A region of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Id on the wire, for example `cn-hangzhou`.
    pub id: &'static str,
    /// LocalName for `AcceptLanguage=zh-CN`, the default.
    pub local_name_zh: &'static str,
    /// LocalName for `AcceptLanguage=en-US`.
    pub local_name_en: &'static str,
    /// Zones in the order of their ids; never empty.
    pub zones: &'static [Zone],
    /// Three lower-case letters or digits in every id of a resource made here,
    /// right after the prefix; unique among regions.
    pub infix: &'static str,
}

impl Region {
    /// The zone of this region with that id, compared exactly.
    #[must_use]
    pub fn zone(&self, id: &str) -> Option<&'static Zone> {
        self.zones.iter().find(|zone| zone.id == id)
    }
}

/// A zone of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Id on the wire: `cn-hangzhou-b`, but `us-west-1a` where the region id ends in a digit.
    pub id: &'static str,
    /// LocalName in Chinese.
    pub local_name_zh: &'static str,
    /// LocalName in English.
    pub local_name_en: &'static str,
}

/// All regions, in the order DescribeRegions gives them.
#[must_use]
pub fn regions() -> &'static [Region] {
    REGIONS
}

/// The region with that id, compared exactly.
#[must_use]
pub fn find(id: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.id == id)
}

/// One region. The three strings before the zone letters are the beginnings of
/// a zone's id, Chinese name and English name.
macro_rules! region {
    ($id:literal, $infix:literal, $zh:literal, $en:literal,
     $zone_id:literal, $zone_zh:literal, $zone_en:literal, [$($low:ident $up:ident),+]) => {
        Region {
            id: $id,
            local_name_zh: $zh,
            local_name_en: $en,
            zones: &[$(Zone {
                id: concat!($zone_id, stringify!($low)),
                local_name_zh: concat!($zone_zh, " 可用区 ", stringify!($up)),
                local_name_en: concat!($zone_en, " Zone ", stringify!($up)),
            }),+],
            infix: $infix,
        }
    };
}

#[rustfmt::skip]
const REGIONS: &[Region] = &[
    region!("cn-qingdao", "m5e", "华北 1", "China (Qingdao)",
        "cn-qingdao-", "华北 1", "Qingdao", [b B, c C]),
    region!("cn-beijing", "2ze", "华北 2", "China (Beijing)",
        "cn-beijing-", "华北 2", "Beijing", [a A, b B, c C, d D, e E, f F, g G, h H, i I, j J, k K, l L]),
    region!("cn-zhangjiakou", "8vb", "华北 3", "China (Zhangjiakou)",
        "cn-zhangjiakou-", "华北 3", "Zhangjiakou", [a A, b B, c C]),
    region!("cn-huhehaote", "hp3", "华北 5", "China (Hohhot)",
        "cn-huhehaote-", "华北 5", "Hohhot", [a A, b B]),
    region!("cn-wulanchabu", "0jl", "华北 6", "China (Ulanqab)",
        "cn-wulanchabu-", "华北 6", "Ulanqab", [a A, b B, c C]),
    region!("cn-hangzhou", "bp1", "华东 1", "China (Hangzhou)",
        "cn-hangzhou-", "华东 1", "Hangzhou", [b B, d D, e E, f F, g G, h H, i I, j J, k K]),
    region!("cn-shanghai", "uf6", "华东 2", "China (Shanghai)",
        "cn-shanghai-", "华东 2", "Shanghai", [a A, b B, c C, d D, e E, f F, g G, k K, l L, m M, n N, o O]),
    region!("cn-nanjing", "gc7", "华东 5", "China (Nanjing - Local Region)",
        "cn-nanjing-", "华东 5", "Nanjing", [a A]),
    region!("cn-fuzhou", "gw0", "华东 6", "China (Fuzhou - Local Region)",
        "cn-fuzhou-", "华东 6", "Fuzhou", [a A]),
    region!("cn-wuhan-lr", "n4a", "华中 1", "China (Wuhan - Local Region)",
        "cn-wuhan-lr-", "华中 1", "Wuhan", [a A]),
    region!("cn-shenzhen", "wz9", "华南 1", "China (Shenzhen)",
        "cn-shenzhen-", "华南 1", "Shenzhen", [a A, b B, c C, d D, e E, f F]),
    region!("cn-heyuan", "f8z", "华南 2", "China (Heyuan)",
        "cn-heyuan-", "华南 2", "Heyuan", [a A, b B]),
    region!("cn-guangzhou", "7xv", "华南 3", "China (Guangzhou)",
        "cn-guangzhou-", "华南 3", "Guangzhou", [a A, b B]),
    region!("cn-chengdu", "2vc", "西南 1", "China (Chengdu)",
        "cn-chengdu-", "西南 1", "Chengdu", [a A, b B]),
    region!("cn-hongkong", "j6c", "中国香港", "China (Hong Kong)",
        "cn-hongkong-", "香港", "Hong Kong", [b B, c C, d D]),
    region!("ap-southeast-1", "t4n", "新加坡", "Singapore",
        "ap-southeast-1", "新加坡", "Singapore", [a A, b B, c C]),
    region!("ap-southeast-3", "8ps", "马来西亚（吉隆坡）", "Malaysia (Kuala Lumpur)",
        "ap-southeast-3", "吉隆坡", "Kuala Lumpur", [a A, b B, c C]),
    region!("ap-southeast-5", "k1a", "印度尼西亚（雅加达）", "Indonesia (Jakarta)",
        "ap-southeast-5", "雅加达", "Jakarta", [a A, b B, c C]),
    region!("ap-southeast-6", "5ts", "菲律宾（马尼拉）", "Philippines (Manila)",
        "ap-southeast-6", "马尼拉", "Manila", [a A, b B]),
    region!("ap-southeast-7", "0jo", "泰国（曼谷）", "Thailand (Bangkok)",
        "ap-southeast-7", "曼谷", "Bangkok", [a A, b B]),
    region!("ap-northeast-1", "6we", "日本（东京）", "Japan (Tokyo)",
        "ap-northeast-1", "东京", "Tokyo", [a A, b B, c C]),
    region!("ap-northeast-2", "mj7", "韩国（首尔）", "South Korea (Seoul)",
        "ap-northeast-2", "首尔", "Seoul", [a A, b B]),
    region!("us-west-1", "rj9", "美国（硅谷）", "US (Silicon Valley)",
        "us-west-1", "硅谷", "Silicon Valley", [a A, b B]),
    region!("us-east-1", "0xi", "美国（弗吉尼亚）", "US (Virginia)",
        "us-east-1", "弗吉尼亚", "Virginia", [a A, b B]),
    region!("na-south-1", "4hf", "墨西哥", "Mexico",
        "na-south-1", "墨西哥", "Mexico", [a A]),
    region!("eu-central-1", "gw8", "德国（法兰克福）", "Germany (Frankfurt)",
        "eu-central-1", "法兰克福", "Frankfurt", [a A, b B, c C]),
    region!("eu-west-1", "d7o", "英国（伦敦）", "UK (London)",
        "eu-west-1", "伦敦", "London", [a A, b B]),
    region!("me-east-1", "eb3", "阿联酋（迪拜）", "UAE (Dubai)",
        "me-east-1", "迪拜", "Dubai", [a A, b B]),
    region!("me-central-1", "l4v", "沙特（利雅得）", "SAU (Riyadh - Partner Region)",
        "me-central-1", "利雅得", "Riyadh", [a A, b B]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_infixes_are_unique_and_well_formed() {
        let ids: BTreeSet<_> = regions().iter().map(|region| region.id).collect();
        assert_eq!(ids.len(), regions().len());
        let infixes: BTreeSet<_> = regions().iter().map(|region| region.infix).collect();
        assert_eq!(infixes.len(), regions().len());
        for region in regions() {
            assert_eq!(region.infix.len(), 3, "{}", region.id);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            assert!(region.infix.bytes().all(plain), "{}", region.id);
        }
    }

    #[test]
    fn every_zone_belongs_to_its_region() {
        for region in regions() {
            assert!(!region.zones.is_empty(), "{}", region.id);
            let joint = if region.id.ends_with(|c: char| c.is_ascii_digit()) { "" } else { "-" };
            for zone in region.zones {
                let letter = zone.id.strip_prefix(region.id).and_then(|s| s.strip_prefix(joint));
                let letter = letter.expect(zone.id);
                assert_eq!(letter.len(), 1, "{}", zone.id);
                let upper = letter.to_ascii_uppercase();
                assert!(zone.local_name_zh.ends_with(&format!(" 可用区 {upper}")));
                assert!(zone.local_name_en.ends_with(&format!(" Zone {upper}")));
            }
            assert!(region.zones.windows(2).all(|w| w[0].id < w[1].id), "{}", region.id);
        }
    }

    #[test]
    fn hangzhou_matches_the_recorded_sample() {
        let hangzhou = find("cn-hangzhou").unwrap();
        let zone = hangzhou.zone("cn-hangzhou-b").unwrap();
        assert_eq!(zone.local_name_zh, "华东 1 可用区 B");
        let letters: String = hangzhou.zones.iter().filter_map(|z| z.id.chars().last()).collect();
        assert_eq!(letters, "bdefghijk");
        assert_eq!(hangzhou.infix, "bp1");
        assert_eq!(find("cn-qingdao").unwrap().local_name_zh, "华北 1");
    }

    #[test]
    fn unknown_ids_are_not_found() {
        assert_eq!(find("cn-atlantis"), None);
        assert_eq!(find("CN-HANGZHOU"), None);
        assert_eq!(find(""), None);
        assert_eq!(find("cn-hangzhou").unwrap().zone("cn-shanghai-b"), None);
    }

    #[test]
    fn every_region_that_is_listed_is_found_by_its_id_alone() {
        assert!(regions().iter().any(|region| region.id == "cn-hangzhou"));
        for region in regions() {
            assert_eq!(find(region.id), Some(region), "{}", region.id);
        }
        assert_eq!(find("cn-Hangzhou"), None);
    }
}
