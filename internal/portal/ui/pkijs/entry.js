// What make-key.js needs of PKI.js: the parts of certification requests (RFC 2986) and of
// PKCS #12 files (RFC 7292).
export { Null, OctetString, Utf8String } from "asn1js";
export {
  Attribute, AttributeTypeAndValue, AuthenticatedSafe, CertBag, Certificate, CertificationRequest, EncryptedData, PFX, PKCS8ShroudedKeyBag, PrivateKeyInfo,
  SafeBag, SafeContents,
} from "pkijs";
