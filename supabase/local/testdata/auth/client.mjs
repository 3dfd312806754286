// Drives the stand-ins with the real supabase-js. Go runs it (auth_clients_test.go) and answers its questions.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { createClient } from "@supabase/supabase-js";

const stack = JSON.parse(process.env.STACK);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (question) => {
  process.stdout.write(`${JSON.stringify(question)}\n`);
  return JSON.parse((await lines.next()).value);
};
const done = (what) => process.stdout.write(`${JSON.stringify({ done: what })}\n`);
// Node 20 has no WebSocket, which the Realtime half wants to see although nothing here connects.
const realtime = { transport: class {} };
const client = (key, auth = {}) =>
  createClient(stack.url, key, { realtime, auth: { persistSession: false, autoRefreshToken: false, ...auth } });
const ok = ({ data, error }) => {
  if (error) throw error;
  return data;
};
const refused = async (promise, code, status) => {
  const { error } = await promise;
  assert.equal(error?.code, code);
  if (status) assert.equal(error.status, status);
};
const email = "js@example.com";
const password = "correct horse";

const anon = client(stack.publishable);
{
  const { user, session } = ok(await anon.auth.signUp({ email, password, options: { data: { name: "Js" } } }));
  assert.equal(session, null);
  assert.equal(user.user_metadata.name, "Js");
  await refused(anon.auth.signInWithPassword({ email, password }), "email_not_confirmed", 400);
  const { OTP } = await ask({ mail: email });
  assert.ok(ok(await anon.auth.verifyOtp({ email, token: OTP, type: "signup" })).session.access_token);
  await refused(anon.auth.signUp({ email: "x@example.com", password: "short" }), "weak_password", 422);
  assert.deepEqual(ok(await anon.auth.signUp({ email, password })).user.identities, []);
  done("sign-up");
}
{
  await refused(anon.auth.signInWithPassword({ email, password: "wrong password" }), "invalid_credentials", 400);
  const { session } = ok(await anon.auth.signInWithPassword({ email, password }));
  const renewed = ok(await anon.auth.refreshSession());
  assert.notEqual(renewed.session.refresh_token, session.refresh_token);
  assert.equal(ok(await anon.auth.getUser()).user.email, email);
  assert.equal(ok(await anon.auth.getClaims()).claims.aal, "aal1"); // by JWKS
  assert.equal(ok(await anon.auth.updateUser({ data: { name: "Jas" } })).user.user_metadata.name, "Jas");
  await refused(anon.auth.updateUser({ password }), "same_password", 422);
  done("session");
}
{
  const factor = ok(await anon.auth.mfa.enroll({ factorType: "totp", friendlyName: "phone" }));
  assert.match(factor.totp.qr_code, /^data:image\/svg\+xml;utf-8,<svg /);
  await refused(anon.auth.mfa.challengeAndVerify({ factorId: factor.id, code: "000000x" }), "mfa_verification_failed", 422);
  const code = await ask({ totp: factor.totp.secret });
  ok(await anon.auth.mfa.challengeAndVerify({ factorId: factor.id, code }));
  const level = ok(await anon.auth.mfa.getAuthenticatorAssuranceLevel());
  assert.deepEqual([level.currentLevel, level.nextLevel], ["aal2", "aal2"]);
  assert.equal(ok(await anon.auth.mfa.listFactors()).totp.length, 1);
  ok(await anon.auth.mfa.unenroll({ factorId: factor.id }));
  done("second factor");
}
{
  ok(await anon.auth.resetPasswordForEmail(email, { redirectTo: "http://acme.localhost:8080/reset" }));
  const { TokenHash, Link } = await ask({ mail: email });
  assert.match(Link, /redirect_to=http%3A%2F%2Facme/);
  assert.ok(ok(await anon.auth.verifyOtp({ token_hash: TokenHash, type: "recovery" })).session);
  await refused(anon.auth.verifyOtp({ token_hash: TokenHash, type: "recovery" }), "otp_expired", 403);
  ok(await anon.auth.updateUser({ password: "another horse" }));
  ok(await anon.auth.signInWithOtp({ email, options: { shouldCreateUser: false } }));
  ok(await anon.auth.verifyOtp({ email, token: (await ask({ mail: email })).OTP, type: "email" }));
  ok(await anon.auth.signOut({ scope: "others" }));
  ok(await anon.auth.reauthenticate());
  ok(await anon.auth.signOut());
  await refused(anon.auth.signInWithPassword({ email, password }), "invalid_credentials", 400);
  done("mails");
}
{
  const kept = new Map();
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
  const pkce = client(stack.anon, { flowType: "pkce", persistSession: true, storage });
  ok(await pkce.auth.signInWithOtp({ email }));
  const { Link } = await ask({ mail: email });
  const to = (await fetch(Link, { redirect: "manual" })).headers.get("location");
  const session = ok(await pkce.auth.exchangeCodeForSession(new URL(to).searchParams.get("code"))).session;
  assert.equal(session.user.email, email);
  done("PKCE");
}
for (const key of [stack.secret, stack.service]) {
  const { admin } = client(key).auth;
  const { user } = ok(await admin.createUser({ email: "made@example.com", password, email_confirm: true, app_metadata: { tier: 1 } }));
  await refused(admin.createUser({ email: "made@example.com" }), "email_exists", 422);
  assert.equal(ok(await admin.getUserById(user.id)).user.app_metadata.tier, 1);
  const page = ok(await admin.listUsers({ page: 1, perPage: 1 }));
  assert.equal(page.users.length, 1);
  assert.equal(page.nextPage, 2);
  assert.ok(page.total >= 2);
  assert.ok(ok(await admin.updateUserById(user.id, { ban_duration: "1h" })).user.banned_until);
  await refused(anon.auth.signInWithPassword({ email: "made@example.com", password }), "user_banned", 400);
  ok(await admin.updateUserById(user.id, { ban_duration: "none", email: "moved@example.com" }));
  const link = ok(await admin.generateLink({ type: "recovery", email: "moved@example.com", options: { redirectTo: "http://evil.example/" } }));
  assert.equal(link.properties.redirect_to, "http://app.localhost:8080");
  assert.equal(link.user.id, user.id);
  ok(await client(stack.publishable).auth.verifyOtp({ token_hash: link.properties.hashed_token, type: "recovery" }));
  ok(await admin.inviteUserByEmail("invited@example.com", { data: { name: "I" } }));
  const invited = await ask({ mail: "invited@example.com" });
  const guest = ok(await client(stack.publishable).auth.verifyOtp({ token_hash: invited.TokenHash, type: "invite" })).user;
  const session = ok(await client(stack.publishable).auth.signInWithPassword({ email: "moved@example.com", password })).session;
  ok(await admin.signOut(session.access_token));
  assert.equal((await anon.auth.getUser(session.access_token)).error.name, "AuthSessionMissingError");
  ok(await admin.deleteUser(guest.id));
  ok(await admin.deleteUser(user.id, true));
  ok(await admin.deleteUser(user.id));
  await refused(admin.getUserById(user.id), "user_not_found", 404);
  await refused(client(stack.publishable).auth.admin.listUsers(), "not_admin", 403);
}
done("admins");
for (const key of [stack.secret, stack.service]) {
  const { storage } = client(key);
  ok(await storage.createBucket("docs", { public: false, fileSizeLimit: "1MB" }));
  assert.equal((await storage.createBucket("docs")).error.statusCode, "409");
  assert.equal(ok(await storage.getBucket("docs")).file_size_limit, 1_000_000);
  assert.equal(ok(await storage.listBuckets()).length, 1);
  const docs = storage.from("docs");
  const up = ok(await docs.upload("a b/blob.txt", new Blob(["hello"], { type: "text/plain" }), { metadata: { by: "js" } }));
  assert.equal(up.fullPath, "docs/a b/blob.txt");
  assert.ok(up.id);
  assert.equal((await docs.upload("a b/blob.txt", new Blob(["x"]))).error.statusCode, "409");
  ok(await docs.upload("raw.bin", Buffer.from([1, 2, 3]), { contentType: "image/png", upsert: true, metadata: { n: 1 } }));
  ok(await docs.update("raw.bin", new Uint8Array([4, 5]), { contentType: "image/png", cacheControl: "60" }));
  assert.equal(await ok(await docs.download("a b/blob.txt")).text(), "hello");
  const info = ok(await docs.info("a b/blob.txt"));
  assert.deepEqual([info.size, info.contentType, info.metadata], [5, "text/plain", { by: "js" }]);
  assert.equal(ok(await docs.exists("raw.bin")), true);
  assert.equal((await docs.exists("nothing")).data, false);
  const read = async (url) => (await fetch(url)).text();
  assert.equal(await read(ok(await docs.createSignedUrl("a b/blob.txt", 60)).signedUrl), "hello");
  const download = await fetch(ok(await docs.createSignedUrl("raw.bin", 60, { download: "named.png" })).signedUrl);
  assert.match(download.headers.get("content-disposition"), /^attachment; filename=named\.png$/);
  const many = ok(await docs.createSignedUrls(["a b/blob.txt", "nothing"], 60));
  assert.equal(await read(many[0].signedUrl), "hello");
  assert.ok(many[1].error);
  const put = ok(await docs.createSignedUploadUrl("signed.txt"));
  ok(await docs.uploadToSignedUrl(put.path, put.token, new Blob(["signed"])));
  ok(await docs.move("signed.txt", "moved/signed.txt"));
  ok(await docs.copy("moved/signed.txt", "copied.txt"));
  const names = async (folder) => ok(await docs.list(folder)).map((o) => o.name);
  assert.deepEqual(await names(""), ["a b", "moved", "copied.txt", "raw.bin"]);
  assert.deepEqual(await names("moved"), ["signed.txt"]);
  assert.deepEqual(ok(await docs.remove(["copied.txt", "nothing"])).map((o) => o.name), ["copied.txt"]);
  assert.equal((await docs.download("copied.txt")).data, null);
  ok(await storage.updateBucket("docs", { public: true }));
  assert.equal(await read(docs.getPublicUrl("a b/blob.txt").data.publicUrl), "hello");
  assert.equal((await storage.deleteBucket("docs")).error.statusCode, "409");
  ok(await storage.emptyBucket("docs"));
  ok(await storage.deleteBucket("docs"));
  assert.equal((await client(stack.publishable).storage.createBucket("mine")).error.statusCode, "403");
}
done("storage");
process.exit(0);
