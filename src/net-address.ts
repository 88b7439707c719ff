import { ConfigError } from "./errors.ts";

/** The six bytes of an address like "52:54:00:12:34:56". @throws ConfigError */
export function macBytes(mac: string | Uint8Array): Uint8Array {
  if (typeof mac !== "string") {
    if (mac.length !== 6) throw new ConfigError(`a MAC address has 6 bytes, not ${mac.length}`);
    return mac;
  }
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new ConfigError(`"${mac}" is no MAC address like 52:54:00:12:34:56`);
  }
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}

/** "52:54:00:12:34:56" */
export function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
