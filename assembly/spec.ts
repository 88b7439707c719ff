// Names and numbers of virtio 1.4, section by section. Nothing here is ours.
// The host imports this file too, so it holds plain typed constants only.

// 2.1 Device Status Field
export const STATUS_ACKNOWLEDGE: u32 = 1;
export const STATUS_DRIVER: u32 = 2;
export const STATUS_DRIVER_OK: u32 = 4;
export const STATUS_FEATURES_OK: u32 = 8;
export const STATUS_SUSPEND: u32 = 16;
export const STATUS_DEVICE_NEEDS_RESET: u32 = 64;
export const STATUS_FAILED: u32 = 128;

// 2.2 Feature Bits: 32 a window, as many as this engine keeps
export const FEATURE_WINDOWS: u32 = 4;

// 6 Reserved Feature Bits, as bit numbers
export const VIRTIO_F_INDIRECT_DESC: u32 = 28;
export const VIRTIO_F_EVENT_IDX: u32 = 29;
export const VIRTIO_F_VERSION_1: u32 = 32;
export const VIRTIO_F_ACCESS_PLATFORM: u32 = 33;
export const VIRTIO_F_RING_PACKED: u32 = 34;
export const VIRTIO_F_IN_ORDER: u32 = 35;
export const VIRTIO_F_ORDER_PLATFORM: u32 = 36;
export const VIRTIO_F_SR_IOV: u32 = 37;
export const VIRTIO_F_NOTIFICATION_DATA: u32 = 38;
export const VIRTIO_F_NOTIF_CONFIG_DATA: u32 = 39;
export const VIRTIO_F_RING_RESET: u32 = 40;
export const VIRTIO_F_ADMIN_VQ: u32 = 41;
export const VIRTIO_F_SUSPEND: u32 = 43;

// 2.6 Virtqueues
export const VIRTQ_MAX_SIZE: u32 = 32768;

// 2.7.5 The Virtqueue Descriptor Table: addr le64, len le32, flags le16, next le16
export const VIRTQ_DESC_SIZE: u32 = 16;
export const VIRTQ_DESC_F_NEXT: u32 = 1;
export const VIRTQ_DESC_F_WRITE: u32 = 2;
export const VIRTQ_DESC_F_INDIRECT: u32 = 4;

// 2.7.6 The Virtqueue Available Ring: flags le16, idx le16, ring[Q] le16, used_event le16
export const VIRTQ_AVAIL_F_NO_INTERRUPT: u32 = 1;
// 2.7.8 The Virtqueue Used Ring: flags le16, idx le16, ring[Q] { id le32, len le32 }, avail_event le16
export const VIRTQ_USED_F_NO_NOTIFY: u32 = 1;

// 2.8.13 The Virtqueue Descriptor Format (packed): addr le64, len le32, id le16, flags le16
export const VIRTQ_DESC_F_AVAIL: u32 = 1 << 7;
export const VIRTQ_DESC_F_USED: u32 = 1 << 15;

// 2.8.14 Event Suppression Structure Format: desc le16 (offset 0-14, wrap 15), flags le16
export const RING_EVENT_FLAGS_ENABLE: u32 = 0;
export const RING_EVENT_FLAGS_DISABLE: u32 = 1;
export const RING_EVENT_FLAGS_DESC: u32 = 2;

// 5.1.3 Network device: feature bits, as bit numbers
export const VIRTIO_NET_F_CSUM: u32 = 0;
export const VIRTIO_NET_F_GUEST_CSUM: u32 = 1;
export const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: u32 = 2;
export const VIRTIO_NET_F_MTU: u32 = 3;
export const VIRTIO_NET_F_MAC: u32 = 5;
export const VIRTIO_NET_F_GUEST_TSO4: u32 = 7;
export const VIRTIO_NET_F_GUEST_TSO6: u32 = 8;
export const VIRTIO_NET_F_GUEST_ECN: u32 = 9;
export const VIRTIO_NET_F_GUEST_UFO: u32 = 10;
export const VIRTIO_NET_F_HOST_TSO4: u32 = 11;
export const VIRTIO_NET_F_HOST_TSO6: u32 = 12;
export const VIRTIO_NET_F_HOST_ECN: u32 = 13;
export const VIRTIO_NET_F_HOST_UFO: u32 = 14;
export const VIRTIO_NET_F_MRG_RXBUF: u32 = 15;
export const VIRTIO_NET_F_STATUS: u32 = 16;
export const VIRTIO_NET_F_CTRL_VQ: u32 = 17;
export const VIRTIO_NET_F_CTRL_RX: u32 = 18;
export const VIRTIO_NET_F_CTRL_VLAN: u32 = 19;
export const VIRTIO_NET_F_CTRL_RX_EXTRA: u32 = 20;
export const VIRTIO_NET_F_GUEST_ANNOUNCE: u32 = 21;
export const VIRTIO_NET_F_MQ: u32 = 22;
export const VIRTIO_NET_F_CTRL_MAC_ADDR: u32 = 23;
export const VIRTIO_NET_F_DEVICE_STATS: u32 = 50;
export const VIRTIO_NET_F_HASH_TUNNEL: u32 = 51;
export const VIRTIO_NET_F_VQ_NOTF_COAL: u32 = 52;
export const VIRTIO_NET_F_NOTF_COAL: u32 = 53;
export const VIRTIO_NET_F_GUEST_USO4: u32 = 54;
export const VIRTIO_NET_F_GUEST_USO6: u32 = 55;
export const VIRTIO_NET_F_HOST_USO: u32 = 56;
export const VIRTIO_NET_F_HASH_REPORT: u32 = 57;
export const VIRTIO_NET_F_GUEST_HDRLEN: u32 = 59;
export const VIRTIO_NET_F_RSS: u32 = 60;
export const VIRTIO_NET_F_RSC_EXT: u32 = 61;
export const VIRTIO_NET_F_STANDBY: u32 = 62;
export const VIRTIO_NET_F_SPEED_DUPLEX: u32 = 63;
export const VIRTIO_NET_F_RSS_CONTEXT: u32 = 64;
export const VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO: u32 = 65;
export const VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO_CSUM: u32 = 66;
export const VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO: u32 = 67;
export const VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO_CSUM: u32 = 68;
export const VIRTIO_NET_F_OUT_NET_HEADER: u32 = 69;
export const VIRTIO_NET_F_IPSEC: u32 = 70;

// 5.1.4 Device configuration layout: where the fields of virtio_net_config lie, and its bytes
export const VIRTIO_NET_CONFIG_MAC: u32 = 0;
export const VIRTIO_NET_CONFIG_STATUS: u32 = 6;
export const VIRTIO_NET_CONFIG_MAX_PAIRS: u32 = 8;
export const VIRTIO_NET_CONFIG_MTU: u32 = 10;
export const VIRTIO_NET_CONFIG_SPEED: u32 = 12;
export const VIRTIO_NET_CONFIG_DUPLEX: u32 = 16;
export const VIRTIO_NET_CONFIG_RSS_MAX_KEY: u32 = 17;
export const VIRTIO_NET_CONFIG_RSS_MAX_TABLE: u32 = 18;
export const VIRTIO_NET_CONFIG_HASH_TYPES: u32 = 20;
export const VIRTIO_NET_CONFIG_TUNNEL_TYPES: u32 = 24;
export const VIRTIO_NET_CONFIG_SIZE: u32 = 28;
export const VIRTIO_NET_S_LINK_UP: u32 = 1;
export const VIRTIO_NET_S_ANNOUNCE: u32 = 2;

// 5.1.9 Device operation: the header's length without optional fields, with all of them, and its fields
export const VIRTIO_NET_HDR_SIZE: u32 = 12;
export const VIRTIO_NET_HDR_MAX_SIZE: u32 = 32;
export const VIRTIO_NET_HDR_FLAGS: u32 = 0;
export const VIRTIO_NET_HDR_GSO_TYPE: u32 = 1;
export const VIRTIO_NET_HDR_HDR_LEN: u32 = 2;
export const VIRTIO_NET_HDR_GSO_SIZE: u32 = 4;
export const VIRTIO_NET_HDR_CSUM_START: u32 = 6;
export const VIRTIO_NET_HDR_CSUM_OFFSET: u32 = 8;
export const VIRTIO_NET_HDR_NUM_BUFFERS: u32 = 10;
export const VIRTIO_NET_HDR_HASH_VALUE: u32 = 12;
export const VIRTIO_NET_HDR_HASH_REPORT: u32 = 16;
export const VIRTIO_NET_HDR_OUTER_TH: u32 = 20;
export const VIRTIO_NET_HDR_INNER_NH: u32 = 22;
export const VIRTIO_NET_HDR_OUTER_NH: u32 = 24;
export const VIRTIO_NET_HDR_F_NEEDS_CSUM: u32 = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID: u32 = 2;
export const VIRTIO_NET_HDR_F_RSC_INFO: u32 = 4;
export const VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM: u32 = 8;
export const VIRTIO_NET_HDR_GSO_NONE: u32 = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4: u32 = 1;
export const VIRTIO_NET_HDR_GSO_UDP: u32 = 3;
export const VIRTIO_NET_HDR_GSO_TCPV6: u32 = 4;
export const VIRTIO_NET_HDR_GSO_UDP_L4: u32 = 5;
export const VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4: u32 = 0x20;
export const VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6: u32 = 0x40;
export const VIRTIO_NET_HDR_GSO_ECN: u32 = 0x80;

// 5.1.9.4.3 Hash calculation: types as bits, and what the header reports, which is the bit's number plus 1
export const VIRTIO_NET_HASH_TYPE_IPv4: u32 = 1 << 0;
export const VIRTIO_NET_HASH_TYPE_TCPv4: u32 = 1 << 1;
export const VIRTIO_NET_HASH_TYPE_UDPv4: u32 = 1 << 2;
export const VIRTIO_NET_HASH_TYPE_IPv6: u32 = 1 << 3;
export const VIRTIO_NET_HASH_TYPE_TCPv6: u32 = 1 << 4;
export const VIRTIO_NET_HASH_TYPE_UDPv6: u32 = 1 << 5;
export const VIRTIO_NET_HASH_TYPE_IP_EX: u32 = 1 << 6;
export const VIRTIO_NET_HASH_TYPE_TCP_EX: u32 = 1 << 7;
export const VIRTIO_NET_HASH_TYPE_UDP_EX: u32 = 1 << 8;
export const VIRTIO_NET_HASH_REPORT_NONE: u32 = 0;
export const VIRTIO_NET_HASH_REPORT_UDPv6_EX: u32 = 9;

// 5.1.9.5 Control virtqueue: classes, commands, and the answer
export const VIRTIO_NET_OK: u32 = 0;
export const VIRTIO_NET_ERR: u32 = 1;
export const VIRTIO_NET_CTRL_RX: u32 = 0;
export const VIRTIO_NET_CTRL_RX_PROMISC: u32 = 0;
export const VIRTIO_NET_CTRL_RX_ALLMULTI: u32 = 1;
export const VIRTIO_NET_CTRL_RX_ALLUNI: u32 = 2;
export const VIRTIO_NET_CTRL_RX_NOMULTI: u32 = 3;
export const VIRTIO_NET_CTRL_RX_NOUNI: u32 = 4;
export const VIRTIO_NET_CTRL_RX_NOBCAST: u32 = 5;
export const VIRTIO_NET_CTRL_MAC: u32 = 1;
export const VIRTIO_NET_CTRL_MAC_TABLE_SET: u32 = 0;
export const VIRTIO_NET_CTRL_MAC_ADDR_SET: u32 = 1;
export const VIRTIO_NET_CTRL_VLAN: u32 = 2;
export const VIRTIO_NET_CTRL_VLAN_ADD: u32 = 0;
export const VIRTIO_NET_CTRL_VLAN_DEL: u32 = 1;
export const VIRTIO_NET_CTRL_ANNOUNCE: u32 = 3;
export const VIRTIO_NET_CTRL_ANNOUNCE_ACK: u32 = 0;
export const VIRTIO_NET_CTRL_MQ: u32 = 4;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET: u32 = 0;
export const VIRTIO_NET_CTRL_MQ_RSS_CONFIG: u32 = 1;
export const VIRTIO_NET_CTRL_MQ_HASH_CONFIG: u32 = 2;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS: u32 = 5;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET: u32 = 0;
export const VIRTIO_NET_CTRL_NOTF_COAL: u32 = 6;
export const VIRTIO_NET_CTRL_NOTF_COAL_TX_SET: u32 = 0;
export const VIRTIO_NET_CTRL_NOTF_COAL_RX_SET: u32 = 1;
export const VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET: u32 = 2;
export const VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET: u32 = 3;
// 5.1.9.5.9: offloads whose bit is not their feature's
export const VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO: u32 = 46;
export const VIRTIO_NET_GUEST_OFFLOAD_UDP_TUNNEL_GSO_CSUM: u32 = 47;
