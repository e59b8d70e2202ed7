import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Signs a file as signing clients in Java do: the active certificates, the key pair of the
 * one that is wanted, the hash. It shows an API key, first alone and then with a client
 * certificate. It prints the name of the algorithm and whether the signature verifies with
 * the certificate of the key pair, or why there is none.
 */
public class SigningClient {
    private static final String BASE = "https://" + System.getenv("HOST") + ":" + System.getenv("PORT") + "/signingmanager/api/v1/";
    private static SSLContext context;

    public static void main(String[] args) throws Exception {
        for (KeyManager[] keys : new KeyManager[][] {null, keys()}) {
            context = SSLContext.getInstance("TLS");
            context.init(keys, trusted(), null);
            try {
                sign(args);
            } catch (Refused e) {
                System.out.println(e.getMessage());
            }
        }
    }

    private static class Refused extends Exception {
        Refused(String message) {
            super(message);
        }
    }

    private static void sign(String[] aliases) throws Exception {
        String list = call("GET", "certificates?limit=100&certificate_status=ACTIVE", null);
        for (String alias : aliases) {
            // No member of an item but keypair and chain has one of the characters that end it.
            String item = find("\\{(\"id\":\"[^\"]*\",\"alias\":\"" + alias + "\".*?\"valid_to\":\"[^\"]*\")", list);
            String id = find("\"keypair\":\\{\"id\":\"([^\"]*)\"", item);
            String pair = call("GET", "/keypairs/" + id, null); // with two slashes
            String algorithm = "SHA256with" + find("\"key_alg\":\"([^\"]*)\"", pair);
            String account = find("\"account\":(\\{[^}]*\\}),\"created_on\"", pair); // sent back as it came

            byte[] content = Files.readAllBytes(Path.of("file"));
            String hash = Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-256").digest(content));
            String answer = call("POST", "keypairs/" + id + "/sign",
                    "{\"account\":" + account + ",\"sig_alg\":\"" + algorithm + "\",\"hash\":\"" + hash + "\"}");
            byte[] signature = Base64.getDecoder().decode(find("\"signature\":\"([^\"]*)\"", answer));

            byte[] der = Base64.getDecoder().decode(find("\"cert\":\"([^\"]*)\"", item));
            Certificate certificate = CertificateFactory.getInstance("X.509").generateCertificate(new java.io.ByteArrayInputStream(der));
            Signature verifier = Signature.getInstance(algorithm);
            verifier.initVerify(certificate);
            verifier.update(content);
            System.out.println(alias + " " + algorithm + " " + verifier.verify(signature));
        }
    }

    private static String find(String pattern, String text) {
        Matcher m = Pattern.compile(pattern).matcher(text);
        if (!m.find()) {
            throw new IllegalStateException("no " + pattern + " in " + text);
        }
        return m.group(1);
    }

    private static String call(String method, String resource, String body) throws Exception {
        HttpURLConnection conn = (HttpURLConnection) new URL(BASE + resource).openConnection();
        ((HttpsURLConnection) conn).setSSLSocketFactory(context.getSocketFactory());
        conn.setRequestMethod(method);
        conn.setRequestProperty("x-api-key", System.getenv("KEY"));
        if (body != null) {
            conn.setRequestProperty("Content-Type", "application/json; charset=utf-8");
            conn.setDoOutput(true);
            try (OutputStream out = conn.getOutputStream()) {
                out.write(body.getBytes(StandardCharsets.UTF_8));
            }
        }
        int status = conn.getResponseCode();
        try (InputStream in = status < 400 ? conn.getInputStream() : conn.getErrorStream()) {
            String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            if (status >= 400) {
                throw new Refused(status + " " + find("\"status\":\"([^\"]*)\"", text) + ": " + find("\"message\":\"([^\"]*)\"", text));
            }
            return text;
        }
    }

    private static KeyManager[] keys() throws Exception {
        char[] password = System.getenv("P12_PASSWORD").toCharArray();
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream in = new FileInputStream("client.p12")) {
            own.load(in, password);
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(own, password);
        return factory.getKeyManagers();
    }

    private static javax.net.ssl.TrustManager[] trusted() throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream in = new FileInputStream("ca.pem")) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(trusted);
        return factory.getTrustManagers();
    }
}
