import { Code, Image, Stack, Text } from "@mantine/core"
import { useMutation, useQuery } from "@tanstack/react-query"
import { api } from "./api"
import { CodeInput, Entry } from "./Entry"
import { Failure } from "./Result"
import { type Session, writeSession } from "./session"

type Enrolment = { id: string; totp: { qr_code: string; secret: string } }

async function answer(factor: string, form: FormData) {
  const challenge = await api<{ id: string }>(`/auth/v1/factors/${factor}/challenge`, { method: "POST" })
  const code = String(form.get("code"))
  writeSession(
    await api<Session>(`/auth/v1/factors/${factor}/verify`, { body: { challenge_id: challenge.id, code } }),
  )
}

/** Removes enrolments that were begun and never finished, which Auth would refuse to begin again. */
async function enrol(user: Session["user"]): Promise<Enrolment> {
  for (const factor of user.factors ?? [])
    if (factor.status !== "verified") await api(`/auth/v1/factors/${factor.id}`, { method: "DELETE" })
  return api<Enrolment>("/auth/v1/factors", {
    body: { factor_type: "totp", friendly_name: "Authenticator app" },
  })
}

/** Raises the session to its second factor: asks for a code, or sets up an authenticator app first. */
export function SecondFactor({ onDone }: { onDone: () => void }) {
  const user = useQuery({ queryKey: ["user"], queryFn: () => api<Session["user"]>("/auth/v1/user") })
  const verified = user.data?.factors?.find(
    (factor) => factor.status === "verified" && factor.factor_type === "totp",
  )
  const enrolment = useQuery({
    queryKey: ["user", "enrolment"],
    queryFn: () => enrol(user.data as Session["user"]),
    enabled: user.isSuccess && !verified,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  })
  const factor = verified?.id ?? enrolment.data?.id
  const mutation = useMutation({
    mutationFn: (form: FormData) => answer(factor ?? "", form),
    onSuccess: onDone,
  })
  const error = user.error ?? enrolment.error
  if (error) return <Failure error={error} />
  if (!factor) return null
  return (
    <Entry title="Second factor" order={2} action="Go on" mutation={mutation}>
      {!verified && enrolment.data && (
        <Stack gap="xs">
          <Text size="sm">Scan this with an authenticator app, or type the key into it.</Text>
          <Image src={enrolment.data.totp.qr_code} alt="QR code of the key below" w={200} bg="white" />
          <Code>{enrolment.data.totp.secret}</Code>
        </Stack>
      )}
      <CodeInput />
    </Entry>
  )
}
