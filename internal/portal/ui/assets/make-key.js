// Makes the key of an mTLS certificate and its PKCS #12 file. The private key is in the
// memory of this page, and goes nowhere else: into no request, no storage and no address.
// So the page that shows the certificate comes by fetch into the place of the one that
// made the key, and leaving it before the file is saved asks once.
let key = null;
let saved = true;

const say = (form, text) => { form.querySelector("[data-key-status]").textContent = text; };

// An RSA key of 3072 bits. It can be exported, since it has to be put into a file.
const newKey = () => crypto.subtle.generateKey(
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 3072, publicExponent: new Uint8Array([1, 0, 1]) }, true, ["sign", "verify"]);

const base64 = (buffer) => btoa(Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join(""));
const octets = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

// A certification request for the key, as PEM.
async function request(pki, pair, name) {
  const csr = new pki.CertificationRequest({ version: 0, attributes: [] }); // which must be there (RFC 2986, Section 4.1)
  csr.subject.typesAndValues.push(new pki.AttributeTypeAndValue({ type: "2.5.4.3", value: new pki.Utf8String({ value: name }) }));
  await csr.subjectPublicKeyInfo.importKey(pair.publicKey);
  await csr.sign(pair.privateKey, "SHA-256");
  csr.signatureAlgorithm.algorithmParams = new pki.Null(); // which must be there (RFC 4055, Section 5)
  const lines = base64(csr.toSchema().toBER(false)).match(/.{1,64}/g).join("\n");
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`;
}

// The library cuts ciphertexts into pieces, as BER allows; readers of DER want them whole.
const whole = (pki, bytes) => new pki.OctetString({ valueHex: bytes });

// A PKCS #12 file of the key, its certificate and the issuing CA: PBES2 with AES-256-CBC,
// keys by PBKDF2 with HMAC-SHA-256, and a MAC of SHA-256.
async function file(pki, pair, leaf, issuer, text) {
  const iterations = 100_000;
  const password = new TextEncoder().encode(text).buffer;
  const protection = {
    password, contentEncryptionAlgorithm: { name: "AES-CBC", length: 256 }, hmacHashAlgorithm: "SHA-256", iterationCount: iterations,
  };
  const id = await crypto.subtle.digest("SHA-1", leaf);
  const localKey = () => [new pki.Attribute({ type: "1.2.840.113549.1.9.21", values: [new pki.OctetString({ valueHex: id })] })];
  const certificate = (der, bagAttributes) => new pki.SafeBag({
    bagId: "1.2.840.113549.1.12.10.1.3", bagValue: new pki.CertBag({ parsedValue: pki.Certificate.fromBER(der) }), bagAttributes,
  });
  const shrouded = new pki.PKCS8ShroudedKeyBag({
    parsedValue: pki.PrivateKeyInfo.fromBER(await crypto.subtle.exportKey("pkcs8", pair.privateKey)),
  });
  await shrouded.makeInternalValues(protection);
  shrouded.encryptedData = whole(pki, shrouded.encryptedData.getValue());
  const safeContents = [
    { privacyMode: 1, value: new pki.SafeContents({ safeBags: [certificate(leaf, localKey()), certificate(issuer)] }) },
    { privacyMode: 0, value: new pki.SafeContents({
      safeBags: [new pki.SafeBag({ bagId: "1.2.840.113549.1.12.10.1.2", bagValue: shrouded, bagAttributes: localKey() })],
    }) },
  ];
  const pfx = new pki.PFX({
    parsedValue: { integrityMode: 0, authenticatedSafe: new pki.AuthenticatedSafe({ parsedValue: { safeContents } }) },
  });
  await pfx.parsedValue.authenticatedSafe.makeInternalValues({ safeContents: [protection, {}] });
  const [certificates] = pfx.parsedValue.authenticatedSafe.safeContents;
  const sealed = new pki.EncryptedData({ schema: certificates.content });
  sealed.encryptedContentInfo.encryptedContent = whole(pki, sealed.encryptedContentInfo.getEncryptedContent());
  certificates.content = sealed.toSchema();
  await pfx.makeInternalValues({ password, iterations, pbkdf2HashAlgorithm: "SHA-256", hmacHashAlgorithm: "SHA-256" });
  return pfx.toSchema().toBER(false);
}

// Makes the key, sends the request, and puts the page of the certificate in place. What
// went wrong is said where one is, and the key is there for another try.
async function make(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  saved = false;
  try {
    say(form, form.dataset.making);
    const pki = await import(form.dataset.library);
    key ??= await newKey();
    form.elements.csr.value = await request(pki, key, form.dataset.name);
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.querySelector("[data-p12-panel]")) return place(page, answer.url);
    const problem = page.querySelector(".error-summary li") ?? page.querySelector("main > p");
    say(form, [form.dataset.refused, problem?.textContent.trim()].filter(Boolean).join(" "));
  } catch {
    say(form, form.dataset.failed);
  }
  button.disabled = false;
}

function place(page, address) {
  const main = document.adoptNode(page.querySelector("main"));
  document.querySelector("main").replaceWith(main);
  document.title = page.title;
  history.replaceState(null, "", address);
  main.querySelector("[data-p12-lost]").hidden = true;
  main.querySelector("form[data-p12]").hidden = false;
  document.dispatchEvent(new CustomEvent("portal:placed", { detail: main }));
  main.focus();
}

async function save(form) {
  const panel = form.closest("[data-p12-panel]").dataset;
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const pki = await import(panel.library);
    const bytes = await file(pki, key, octets(panel.leaf), octets(panel.issuer), form.elements.password.value);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/x-pkcs12" }));
    link.download = panel.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    saved = true;
    say(form, form.dataset.saved);
  } catch {
    say(form, form.dataset.failed);
  }
  button.disabled = false;
}

// 20 of 32 letters and digits that are not taken for each other: 100 bits.
function password() {
  const letters = "abcdefghijkmnpqrstuvwxyz23456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(20)), (b) => letters[b % letters.length]).join("");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-make-key], form[data-p12]")) return;
  event.preventDefault();
  if (form.matches("[data-make-key]")) make(form);
  else save(form);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-generate]");
  if (button) button.form.elements.password.value = password();
});

addEventListener("beforeunload", (event) => { if (key && !saved) event.preventDefault(); });
