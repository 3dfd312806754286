import { Container, Loader, PasswordInput, Stack, Text, TextInput } from "@mantine/core"
import { useMutation, useQuery } from "@tanstack/react-query"
import { api, signIn } from "../api"
import { Entry } from "../Entry"
import { Failure } from "../Result"

type Opened = { email: string; role: string; company_name: string; needs_password: boolean }
type Accepted = { email: string; password_set: boolean }

/**
 * The page behind an invitation's link. Looking changes nothing, so that a mail scanner's visit uses nothing up: the
 * button accepts.
 */
export function AcceptInvitation(props: { token: string; onDone: () => void }) {
  const opened = useQuery({
    queryKey: ["invitation"],
    queryFn: () => api<Opened>("/api/tenant/invitations/open", { body: { token: props.token } }),
    staleTime: Number.POSITIVE_INFINITY,
  })
  return (
    <Container component="main" py="xl">
      {opened.isPending && <Loader aria-label="Loading" />}
      {opened.isError && <Failure error={opened.error} />}
      {opened.data && <Join {...props} invitation={opened.data} />}
    </Container>
  )
}

function Join({ token, onDone, invitation }: { token: string; onDone: () => void; invitation: Opened }) {
  const { email, company_name, needs_password } = invitation
  const mutation = useMutation({
    mutationFn: async (form: FormData) => {
      const password = needs_password ? { password: String(form.get("password")) } : {}
      const accepted = await api<Accepted>("/api/tenant/invitations/accept", {
        body: { token, ...password },
      })
      if (accepted.password_set && password.password) await signIn(accepted.email, password.password)
    },
    onSuccess: onDone,
  })
  return (
    <Entry title={`Join ${company_name}`} action="Accept invitation" mutation={mutation}>
      <Stack gap="sm">
        <TextInput label="E-mail" value={email} autoComplete="username" readOnly />
        {needs_password ? (
          <PasswordInput
            name="password"
            label="Choose a password"
            description="8 characters or more"
            autoComplete="new-password"
            minLength={8}
            maxLength={72}
            required
          />
        ) : (
          <Text size="sm">You have a password already: you sign in with it next.</Text>
        )}
      </Stack>
    </Entry>
  )
}
